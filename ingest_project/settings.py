"""All settings of a deployment and their defaults, read once from the environment (`INGEST_*`)."""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest_project.errors import UsageError


class Settings(BaseSettings):
    """The field `lease_seconds` is read from the variable `INGEST_LEASE_SECONDS`, and so on."""

    model_config = SettingsConfigDict(env_prefix="INGEST_", frozen=True, extra="ignore")

    home: Path = Field(
        default_factory=lambda: Path.home() / ".ingest",
        description="Where the embedded Postgres, the parts and Dagster's home live.",
    )
    database_url: SecretStr | None = Field(
        default=None, description="A PostgreSQL >= 15, `postgresql://…`. Unset: the embedded server of `home`."
    )
    dagster_url: SecretStr | None = Field(
        default=None,
        description="Where Dagster's own tables are. Unset: `database_url`; needed where that goes through a pooler.",
    )
    store: str | None = Field(
        default=None, description="Where parts are kept: a folder or any fsspec URL. Unset: `home`/parts."
    )
    roots: str | None = Field(
        default=None,
        description="Folders that local sources may be in, separated by ':'. Unset: anywhere this user can read.",
    )
    remote: str | None = Field(
        default=None,
        description="What URLs of remote sources must begin with, one of these, separated by spaces. Unset: any URL.",
    )
    webhook_url: SecretStr | None = Field(
        default=None,
        description="Where alerts are posted as JSON: a branch failed, was refused, or has recovered. Unset: nowhere.",
    )
    batch_size: int = Field(default=50_000, ge=1, le=1_000_000, description="Rows per page, part and batch.")
    writers: int = Field(default=2, ge=1, le=64, description="Sessions that write one branch side by side.")
    keep_parts_days: int = Field(
        default=14,
        ge=0,
        description="Parts of activations that ended so many days ago are pruned, but a branch's newest; 0 keeps all.",
    )
    keep_history_days: int = Field(
        default=365,
        ge=0,
        description="So are history, rejects and batches, in blocks of a thousand activations; 0 keeps all.",
    )
    keep_runs_days: int = Field(default=90, ge=0, description="So are Dagster's records of finished runs; 0 keeps all.")
    workers: int | None = Field(
        default=None, ge=1, description="Processes that normalize parts. Unset: one per core, for a large branch."
    )
    profile: bool = Field(default=True, description="Whether each activation's columns are profiled.")
    lease_seconds: float = Field(
        default=60,
        gt=0,
        description="How long a lease lasts without a heartbeat; heartbeats come three times as often.",
    )
    connect_seconds: int = Field(default=10, ge=1, description="How long to wait for Postgres to answer.")
    statement_seconds: int = Field(default=0, ge=0, description="Longest time of one statement; 0 is no limit.")
    idle_transaction_seconds: int = Field(
        default=300, ge=0, description="Postgres ends a transaction that has been idle for so long."
    )
    embed_batch_size: int = Field(default=500, ge=1, le=10_000, description="Texts per call of an embedding provider.")
    embed_batch_tokens: int = Field(default=100_000, ge=1, description="Tokens per call, as estimated.")
    embed_calls: int = Field(default=4, ge=1, le=64, description="Calls in flight per embedding worker.")
    embed_run_seconds: int = Field(
        default=600, ge=1, description="Longest run of the asset item_embeddings; the next one goes on."
    )
    embed_attempts: int = Field(
        default=10, ge=1, le=30, description="Failed attempts after which an embedding request is dead."
    )
    fastembed_folder: Path | None = Field(
        default=None, description="Folder with the files of a fastembed model. Unset: from its hub."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Of our log lines.")
    log_format: Literal["plain", "json"] = Field(default="plain", description="Of our log lines on stderr.")

    @field_validator("webhook_url")
    @classmethod
    def _require_http(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return url

    @property
    def store_location(self) -> str:
        return self.store or str(self.home.expanduser().absolute() / "parts")


@cache
def settings() -> Settings:
    """The settings of this process; tests that change the environment call `cache_clear()`. Raises UsageError."""
    try:
        return Settings()
    except ValidationError as error:
        # The values are left out: some settings hold a password.
        problems = [f"INGEST_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors()]
        raise UsageError("; ".join(problems), todo="Mend or unset it: .docs/operation.md, Settings.") from None

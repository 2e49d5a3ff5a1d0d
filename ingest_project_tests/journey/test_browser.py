"""The UI in a real browser: choose a branch, Materialize all, watch it succeed, read what it came to.

Debian's chromium, headless; skipped where there is none. SCREENSHOTS=folder keeps what it saw.
"""

import csv
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_project.branches import registry
from ingest_project.branches.spec import load_spec
from ingest_project.postgres.connection import session
from ingest_project.sample import SPEC, write_demo
from ingest_project.torture.chain import ingest
from ingest_project_tests.journey.test_dev import COMMAND, Dev, add_partition, until_done

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.by import By  # noqa: E402 - where selenium is not, there is nothing to import
from selenium.webdriver.remote.webdriver import WebDriver  # noqa: E402
from selenium.webdriver.remote.webelement import WebElement  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium: apt-get install chromium-driver")
QUIET = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1400,1300"),
)
NAME = "demo-places"
PATIENCE = 180  # of a busy machine


class Page:
    """What is on the screen, by the words on it."""

    def __init__(self, browser: WebDriver, url: str) -> None:
        self.browser = browser
        self.url = url

    def open(self, path: str) -> None:
        self.browser.get(self.url + path)

    def find(self, words: str, tag: str = "*") -> WebElement:
        """The one on top that says so, as soon as it can be clicked."""
        says = f"contains(normalize-space(.), '{words}')"
        query = f"//{tag}[{says} and not(.//{tag}[{says}])]"

        def look(browser: WebDriver) -> WebElement | None:
            found = [one for one in browser.find_elements(By.XPATH, query) if one.is_displayed() and one.is_enabled()]
            return found[-1] if found else None

        return WebDriverWait(self.browser, PATIENCE, ignored_exceptions=[Exception]).until(look, words)

    def click(self, words: str, tag: str = "*") -> None:
        # By script: what covers it (a menu that is about to close) is no matter.
        self.browser.execute_script("arguments[0].click()", self.find(words, tag))

    def pictures(self) -> list[int]:
        """Widths of the pictures in the dialog, once all are there."""
        script = "return [...document.querySelectorAll('img[src^=\"data:image/svg\"]')].map(one => one.naturalWidth)"

        def look(browser: WebDriver) -> list[int] | None:
            widths = browser.execute_script(script)
            return widths if widths and all(widths) else None

        return WebDriverWait(self.browser, PATIENCE).until(look, "pictures")

    def keep(self, name: str) -> None:
        if folder := os.environ.get("SCREENSHOTS"):
            self.browser.save_screenshot(str(Path(folder) / f"{name}.png"))


@pytest.fixture
def browser() -> Iterator[WebDriver]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tempfile.mkdtemp(prefix="ingest-browser-")
    for word in (*QUIET, f"--user-data-dir={profile}"):
        options.add_argument(word)
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    opened.set_page_load_timeout(PATIENCE)
    yield opened
    opened.quit()
    shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture
def demo(fresh_database: str, home: Path) -> Path:
    """The demo's branch, with an earlier state of its file in core.items: other names, and fewer rows."""
    file = home / "places.csv"
    write_demo(file, None)
    with session() as connection:
        registry.apply_branch(connection, load_spec(SPEC).model_copy(update={"location": str(file)}))
    whole = file.read_text(encoding="utf-8")
    file.write_text(earlier(file), encoding="utf-8")
    ingest(NAME, 1000)
    file.write_text(whole, encoding="utf-8")
    add_partition(NAME)
    return file


def earlier(file: Path) -> str:
    head, *lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    title, city = (next(csv.reader([head])).index(name) for name in ("title", "city"))
    kept = [line for at, line in enumerate(lines) if at % 7]
    for at in range(0, len(kept), 5):
        cells = kept[at].split(",")
        if '"' not in kept[at] and len(cells) > city and cells[title]:
            cells[title] = f"{cells[title]} (closed)"
            cells[city] = "" if at % 2 else cells[city]
        kept[at] = ",".join(cells)
    return "".join([head, *kept])


@pytest.fixture
def page(demo: Path, home: Path, port: int, browser: WebDriver) -> Iterator[Page]:
    running = Dev(port, home / "log", "-c", COMMAND, "dev", "--port", str(port))
    try:
        running.wait()
        yield Page(browser, running.url)
    finally:
        running.end()


def test_materialize_all_of_a_branch_and_read_the_report(page: Page) -> None:
    page.open("/asset-groups/")
    page.find("core_items")
    page.click("Materialize all", "button")
    page.find("Partition selection")
    page.click("Select a partition")
    page.click(NAME)
    page.click("Launch 1 run", "button")
    until_done(2, items=237)
    page.find("embedding_requests")
    page.keep("graph")
    page.open("/runs")
    page.find("Success")

    page.open(f"/assets/core_items?view=partitions&partition={NAME}")
    page.find("Materialized")
    page.keep("core_items")
    page.click("[Show Markdown]")
    heading = page.find(f"{NAME}: ", "h3").text
    assert "inserted" in heading
    assert "updated" in heading
    assert page.pictures() == [720, 720, 720], "counts, map and issues"
    for words in ("What changed, old → new", "Rejected: 4 of 241 rows", "(closed)", "give the row a key"):
        page.find(words)
    page.keep("report")

    page.open("/assets/core_items?view=overview")
    for words in ("Freshness policy", "The key of the row in its source.", "data-engineering"):
        page.find(words)
    page.keep("overview")

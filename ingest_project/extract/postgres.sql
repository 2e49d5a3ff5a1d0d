-- name: set_session_settings
-- For this transaction alone, so that a pooler hands nothing on; settings that a server does not know are left out.
select set_config(s.name, v.value, true)
  from pg_settings s join unnest(%(names)s::text[], %(values)s::text[]) v (name, value) using (name);

-- name: find_relation
-- A relation of any kind, the snapshot that sees it, and its primary key where that is one column.
select n.nspname, c.relname, c.relkind::text, c.oid::bigint, coalesce(pg_relation_size(c.oid), 0),
       to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), txid_current_snapshot()::text,
       (select a.attname from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
         where i.indrelid = c.oid and i.indisprimary and i.indnkeyatts = 1)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.oid = to_regclass(%(table)s);

-- name: relation_names
-- What may have been meant by a name that was not found.
select format('%%I.%%I', n.nspname, c.relname)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast');

-- name: columns_of_relation
-- Columns in their order: type (of a domain its base type), category, declaration, whether readable and not null.
select a.attname, coalesce(b.typname, t.typname), coalesce(b.typcategory, t.typcategory)::text,
       format_type(a.atttypid, a.atttypmod), has_column_privilege(a.attrelid, a.attnum, 'select'), a.attnotnull
  from pg_attribute a join pg_type t on t.oid = a.atttypid
  left join pg_type b on t.typtype = 'd' and b.oid = t.typbasetype
 where a.attrelid = %(oid)s::oid and a.attnum > 0 and not a.attisdropped
 order by a.attnum;

-- name: estimate_rows
-- How many rows there are, about, by the planner: it knows of views and foreign tables too.
explain (format json) select from {relation};

-- name: has_rows
-- Whether there is anything to read.
values (exists (select from {relation}));

-- name: newest_change
-- When the newest row was changed (seconds since 1970), by the column that says so.
values ((select extract(epoch from max({column}) filter (where isfinite({column})))::float8 from {relation}));

-- name: has_null
-- Whether a column has nulls.
values (exists (select from {relation} where {column} is null));

-- name: greatest_value
-- The last value of a column, as text.
values ((select r.{column}::text from {relation} r order by r.{column} desc limit 1));

-- name: copy_all
-- Every row, in the order of the key.
copy (select {columns} from {relation} r order by r.{order}) to stdout (format csv, encoding 'UTF8');

-- name: copy_sample
-- Some rows, in no order.
copy (select {columns} from {relation} limit {count}) to stdout (format csv, encoding 'UTF8');

-- name: copy_until
-- By the cursor: the rows up to the one that was the last when the relation was pinned.
copy (select {columns} from {relation} r where r.{order} <= {until} order by r.{order})
  to stdout (format csv, encoding 'UTF8');

-- name: copy_between
-- By the cursor: those of them that come after the last part.
copy (select {columns} from {relation} r
       where r.{order} > {after} and r.{order} <= {until} order by r.{order})
  to stdout (format csv, encoding 'UTF8');

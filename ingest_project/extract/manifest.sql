-- name: list_part
-- Only a listed part exists; each is listed once.
insert into ingest.parts (activation_id, asset, part, epoch, path, rows, bytes, digest, cursor, run_id, carried)
values (%(activation_id)s, %(asset)s, %(part)s, %(epoch)s, %(path)s, %(rows)s, %(bytes)s, %(digest)s, %(cursor)s,
        %(run_id)s, %(carried)s);

-- name: listed_parts
-- The parts of an asset, in the order in which they were read.
select p.part, p.path, p.rows, p.bytes, p.digest, p.cursor, p.carried from ingest.parts p
 where p.activation_id = %(activation_id)s and p.asset = %(asset)s order by p.part;

-- name: discard_parts
-- Those of a snapshot that ended before all of it was read: it is read anew.
delete from ingest.parts where activation_id = %(activation_id)s and asset = %(asset)s;

-- name: range_end
-- The id at which a range of so many live items ends; no row where fewer are left.
select item_id from core.items where item_id > %(after)s and deleted_at is null
 order by item_id offset %(further)s limit 1;

-- name: missing_items
-- Live items of the branch that the activation does not carry. A row that was set aside is carried, if badly.
select {wanted} from core.items i
 where i.branch_id = %(branch_id)s and i.deleted_at is null
   and not exists (select from probe p where p.external_id = i.external_id)
   and not exists (select from ingest.rejects r
                    where r.activation_id = %(activation_id)s and r.external_id collate "C" = i.external_id);

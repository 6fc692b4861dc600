-- How often pages were found in the server's own memory, since the figures were last reset.
--   pages_of            tables (with their toast tables), indexes
--   hits, reads         pages found in shared_buffers, and asked from the operating system
--   hit_share           hits as a share of both, 0 to 1; null: nothing was asked for yet
SELECT pages_of,
       hits::bigint,
       reads::bigint,
       round(hits / nullif(hits + reads, 0), 4)::double precision AS hit_share
FROM (
    SELECT 'tables' AS pages_of,
           coalesce(sum(heap_blks_hit), 0) + coalesce(sum(toast_blks_hit), 0) AS hits,
           coalesce(sum(heap_blks_read), 0) + coalesce(sum(toast_blks_read), 0) AS reads
    FROM pg_statio_user_tables
    UNION ALL
    SELECT 'indexes',
           coalesce(sum(idx_blks_hit), 0) + coalesce(sum(tidx_blks_hit), 0),
           coalesce(sum(idx_blks_read), 0) + coalesce(sum(tidx_blks_read), 0)
    FROM pg_statio_user_tables
) AS pages
ORDER BY pages_of DESC;

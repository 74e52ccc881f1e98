-- They run as they are on extract/extract.sqlite and on extract/extract.duckdb.

-- 1. The first rows
SELECT * FROM <<sql_table>> LIMIT 5;

-- 2. How often each value of one column occurs
SELECT <<sql_column>>, count(*) AS rows_with_it
FROM <<sql_table>>
GROUP BY <<sql_column>>
ORDER BY rows_with_it DESC, <<sql_column>>;

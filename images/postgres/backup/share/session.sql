-- How values are written: the same wherever rows are counted.
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'iso_8601';
SET timezone = 'UTC';
SET extra_float_digits = 1;
SET bytea_output = 'hex';
SET xmlbinary = 'base64';
SET lc_monetary = 'C';
SET search_path = pg_catalog;
SET jit = off;
SET statement_timeout = 0;
SET idle_in_transaction_session_timeout = 0;

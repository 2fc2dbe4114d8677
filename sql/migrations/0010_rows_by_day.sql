-- How many rows came in on each day (UTC), by which way, and from which user. Every process adds to
-- it every few seconds, so it is close, but not exact after a kill.
CREATE TABLE IF NOT EXISTS rows_by_day (
    day DATE NOT NULL,
    source VARCHAR(16) NOT NULL,
    user_name VARCHAR(255) NOT NULL,
    table_name VARCHAR(64) NOT NULL,
    added BIGINT NOT NULL,
    PRIMARY KEY (day, source, user_name, table_name)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

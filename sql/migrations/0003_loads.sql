-- The checkpoint of each unfinished load: one row for each block of records, written in the same
-- transaction as the records, and deleted at the end of the load.
-- load_key: a hash of table, content and options; origin_key: as in rejects.
CREATE TABLE IF NOT EXISTS loads (
    load_key CHAR(64) NOT NULL,
    first_byte BIGINT NOT NULL,
    next_byte BIGINT NOT NULL,
    first_line BIGINT NOT NULL,
    next_line BIGINT NOT NULL,
    origin VARCHAR(255) NOT NULL,
    origin_key CHAR(64) NOT NULL,
    received INT NOT NULL DEFAULT 0,
    added INT NOT NULL DEFAULT 0,
    changed INT NOT NULL DEFAULT 0,
    unchanged INT NOT NULL DEFAULT 0,
    skipped INT NOT NULL DEFAULT 0,
    lowest_id INT NOT NULL DEFAULT 0,
    highest_id INT NOT NULL DEFAULT 0,
    ids INT NOT NULL DEFAULT 0,
    saved_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (load_key, first_byte),
    KEY loads_origin (origin)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The columns of a file whose order or delimiter is not the usual one, so that its rejects can be
-- read as fields.
CREATE TABLE IF NOT EXISTS reject_layouts (
    origin_key CHAR(64) NOT NULL,
    layout TEXT NOT NULL,
    PRIMARY KEY (origin_key)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

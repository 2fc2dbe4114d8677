-- The history of single rows: what PATCH and DELETE changed, who asked for it, and when.
CREATE TABLE IF NOT EXISTS row_changes (
    id BIGINT NOT NULL AUTO_INCREMENT,
    table_name VARCHAR(64) NOT NULL,
    row_id INT NOT NULL,
    changed_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    changed_by VARCHAR(255) NOT NULL,
    kind VARCHAR(16) NOT NULL,
    old_row MEDIUMTEXT NOT NULL,
    new_row MEDIUMTEXT NULL,
    PRIMARY KEY (id),
    KEY row_changes_row (table_name, row_id, id)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Finds the reject whose correction made a row.
CREATE INDEX reject_outcomes_row ON reject_outcomes (row_id);

-- What became of a reject: it was corrected, or dismissed. A reject without a row here is open.
CREATE TABLE IF NOT EXISTS reject_outcomes (
    reject_id BIGINT NOT NULL,
    state VARCHAR(16) NOT NULL,
    closed_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    closed_by VARCHAR(255) NOT NULL,
    reason VARCHAR(1000) NOT NULL,
    row_id INT NULL,
    PRIMARY KEY (reject_id),
    CONSTRAINT reject_outcomes_reject FOREIGN KEY (reject_id) REFERENCES rejects (id)
        ON DELETE CASCADE
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

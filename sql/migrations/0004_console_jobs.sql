-- The jobs of the console, which every replica can show, follow and take over. run: the token of
-- the run that owns the job, new with each claim; heartbeat_at: when the owner was last alive;
-- beats makes every heartbeat a change.
CREATE TABLE IF NOT EXISTS console_jobs (
    id CHAR(16) NOT NULL,
    kind VARCHAR(16) NOT NULL,
    title VARCHAR(255) NOT NULL,
    user_name VARCHAR(255) NOT NULL,
    role VARCHAR(16) NOT NULL,
    options TEXT NOT NULL,
    word VARCHAR(255) NOT NULL,
    preview BOOLEAN NOT NULL,
    state VARCHAR(16) NOT NULL,
    run CHAR(16) NOT NULL,
    beats INT NOT NULL DEFAULT 0,
    message TEXT NOT NULL,
    progress TEXT NOT NULL,
    result MEDIUMTEXT NOT NULL,
    started_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    heartbeat_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id),
    KEY console_jobs_started (started_at),
    KEY console_jobs_heartbeat (heartbeat_at)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The tables as they are after all migrations. This file is for readers: the service creates the
-- tables by its migrations, and a test compares the two on a server.

-- name: schema_migrations
-- The migrations that were applied. Row 0 is the lock: the process that holds it migrates.
CREATE TABLE schema_migrations (
    version INT NOT NULL,
    name VARCHAR(255) NOT NULL,
    applied_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (version)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- name: departments
-- Text compares by code point: no two texts that differ are equal.
CREATE TABLE departments (
    id INT NOT NULL AUTO_INCREMENT,
    department VARCHAR(255) NOT NULL,
    PRIMARY KEY (id),
    KEY departments_department (department)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- name: jobs
CREATE TABLE jobs (
    id INT NOT NULL AUTO_INCREMENT,
    job VARCHAR(255) NOT NULL,
    PRIMARY KEY (id),
    KEY jobs_job (job)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- name: hired_employees
-- datetime is in UTC. Two indexes serve the foreign keys. With the third, the report of a year reads
-- no rows. The fourth serves lists by name.
CREATE TABLE hired_employees (
    id INT NOT NULL AUTO_INCREMENT,
    name VARCHAR(255) NOT NULL,
    `datetime` DATETIME(6) NOT NULL,
    department_id INT NOT NULL,
    job_id INT NOT NULL,
    PRIMARY KEY (id),
    KEY hired_employees_department (department_id),
    KEY hired_employees_job (job_id),
    KEY hired_employees_datetime (`datetime`, department_id, job_id),
    KEY hired_employees_name (name),
    CONSTRAINT hired_employees_department FOREIGN KEY (department_id) REFERENCES departments (id),
    CONSTRAINT hired_employees_job FOREIGN KEY (job_id) REFERENCES jobs (id)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- name: rejects
-- The rows that were not inserted. origin: the file or the request; origin_key: the fingerprint of
-- table and file, NULL for requests. The unique key logs each record of a file once, even if the
-- file is loaded again. rejects_expiry finds the rows older than REJECTS_DAYS.
CREATE TABLE rejects (
    id BIGINT NOT NULL AUTO_INCREMENT,
    rejected_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    source VARCHAR(16) NOT NULL,
    origin VARCHAR(255) NOT NULL,
    origin_key CHAR(64) NULL,
    table_name VARCHAR(64) NOT NULL,
    position BIGINT NOT NULL,
    record MEDIUMTEXT NOT NULL,
    errors JSON NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY rejects_once (origin_key, position),
    KEY rejects_table (table_name, id),
    KEY rejects_source (source, id),
    KEY rejects_expiry (rejected_at)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- name: reject_outcomes
-- What became of a reject. A reject without a row here is open. row_id: of the row that was inserted.
CREATE TABLE reject_outcomes (
    reject_id BIGINT NOT NULL,
    state VARCHAR(16) NOT NULL,
    closed_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    closed_by VARCHAR(255) NOT NULL,
    reason VARCHAR(1000) NOT NULL,
    row_id INT NULL,
    PRIMARY KEY (reject_id),
    KEY reject_outcomes_row (row_id),
    CONSTRAINT reject_outcomes_reject FOREIGN KEY (reject_id) REFERENCES rejects (id)
        ON DELETE CASCADE
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- name: reject_layouts
-- The columns of a file whose order or delimiter is not the usual one, as its header names them.
-- origin_key: as in rejects.
CREATE TABLE reject_layouts (
    origin_key CHAR(64) NOT NULL,
    layout TEXT NOT NULL,
    PRIMARY KEY (origin_key)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- name: row_changes
-- The history of single rows: what PATCH and DELETE changed, who asked for it, and when. old_row and
-- new_row: the row as the API shows it, in JSON; new_row is NULL if the row was deleted.
CREATE TABLE row_changes (
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

-- name: idempotency_keys
-- The reply to each request with an Idempotency-Key, until it expires. digest: a hash of user,
-- route and key; fingerprint: a hash of the rest of the request.
CREATE TABLE idempotency_keys (
    digest CHAR(64) NOT NULL,
    fingerprint CHAR(64) NOT NULL,
    user_name VARCHAR(255) NOT NULL,
    route VARCHAR(255) NOT NULL,
    request_key VARCHAR(255) NOT NULL,
    status SMALLINT NOT NULL,
    reply MEDIUMTEXT NOT NULL,
    expires_at DATETIME(6) NOT NULL,
    PRIMARY KEY (digest),
    KEY idempotency_keys_expiry (expires_at)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- name: loads
-- The checkpoint of each unfinished load: one row for each block of records, written in the same
-- transaction as the records. load_key: a hash of table, content and options; origin_key: as in
-- rejects.
CREATE TABLE loads (
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

-- name: console_jobs
-- The jobs of the console, which every replica can show, follow and take over. run: the token of
-- the run that owns the job, new with each claim; heartbeat_at: when the owner was last alive;
-- beats makes every heartbeat a change.
CREATE TABLE console_jobs (
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

-- name: rows_by_day
-- How many rows came in on each day (UTC), by which way (api, console, loader or restore), and from
-- which user. Every process adds to it every few seconds, so it is close, but not exact after a kill.
CREATE TABLE rows_by_day (
    day DATE NOT NULL,
    source VARCHAR(16) NOT NULL,
    user_name VARCHAR(255) NOT NULL,
    table_name VARCHAR(64) NOT NULL,
    added BIGINT NOT NULL,
    PRIMARY KEY (day, source, user_name, table_name)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

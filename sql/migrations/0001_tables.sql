-- The three tables of the data dictionary, and the log of rejected rows.
-- Text compares by code point: no two texts that differ are equal.

CREATE TABLE IF NOT EXISTS departments (
    id INT NOT NULL AUTO_INCREMENT,
    department VARCHAR(255) NOT NULL,
    PRIMARY KEY (id)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS jobs (
    id INT NOT NULL AUTO_INCREMENT,
    job VARCHAR(255) NOT NULL,
    PRIMARY KEY (id)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- datetime is in UTC. Two indexes serve the foreign keys. With the third, the report of a year reads
-- no rows.
CREATE TABLE IF NOT EXISTS hired_employees (
    id INT NOT NULL AUTO_INCREMENT,
    name VARCHAR(255) NOT NULL,
    `datetime` DATETIME(6) NOT NULL,
    department_id INT NOT NULL,
    job_id INT NOT NULL,
    PRIMARY KEY (id),
    KEY hired_employees_department (department_id),
    KEY hired_employees_job (job_id),
    KEY hired_employees_datetime (`datetime`, department_id, job_id),
    CONSTRAINT hired_employees_department FOREIGN KEY (department_id) REFERENCES departments (id),
    CONSTRAINT hired_employees_job FOREIGN KEY (job_id) REFERENCES jobs (id)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- origin: the file or the request; origin_key: the fingerprint of the file, NULL for requests. The
-- unique key logs each record of a file once, even if the file is loaded again.
CREATE TABLE IF NOT EXISTS rejects (
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
    KEY rejects_source (source, id)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- A table for tests, with a column of each type.
CREATE TABLE IF NOT EXISTS contracts (
    id INT NOT NULL AUTO_INCREMENT,
    title VARCHAR(255) NOT NULL,
    note VARCHAR(255) NULL,
    employee_id INT NOT NULL,
    job_id INT NULL,
    signed_at DATETIME(6) NOT NULL,
    ended_at DATETIME(6) NULL,
    balance BIGINT NOT NULL,
    grade INT NULL,
    salary DECIMAL(10, 2) NOT NULL,
    bonus DECIMAL(12, 4) NULL,
    remote TINYINT(1) NOT NULL,
    insured TINYINT(1) NULL,
    starts_on DATE NOT NULL,
    ends_on DATE NULL,
    PRIMARY KEY (id),
    KEY contracts_employee (employee_id),
    KEY contracts_job (job_id),
    KEY contracts_title (title),
    CONSTRAINT contracts_employee FOREIGN KEY (employee_id) REFERENCES hired_employees (id),
    CONSTRAINT contracts_job FOREIGN KEY (job_id) REFERENCES jobs (id)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- A period is given by its first and its last moment, UTC. The index on (datetime, department_id,
-- job_id) answers both reports; the rows of hired_employees are not read. Periods are compared by >=
-- and <=, because MySQL converts the moments of a BETWEEN again for each row.

-- name: latest_year
SELECT YEAR(MAX(`datetime`)) FROM hired_employees;

-- name: latest_year_before
SELECT YEAR(MAX(`datetime`)) FROM hired_employees WHERE `datetime` < %s;

-- The periods are the quarters. Each is counted by itself, because the server needs longer to compute
-- the quarter of a row than to count it. A pair has one count in each quarter, so MAX chooses it.
-- The hint lets MySQL keep the counts of some 100,000 pairs in memory; other servers ignore it.
-- In no order: core/reports.py makes it alphabetical, as no collation is on all engines.
-- name: hires_by_quarter
SELECT /*+ SET_VAR(tmp_table_size = 64M) */
    counted.department_id, counted.job_id, department, job, q1, q2, q3, q4
FROM (
    SELECT department_id, job_id, MAX(q1) AS q1, MAX(q2) AS q2, MAX(q3) AS q3, MAX(q4) AS q4
    FROM (
        SELECT department_id, job_id, COUNT(*) AS q1, 0 AS q2, 0 AS q3, 0 AS q4
        FROM hired_employees WHERE `datetime` >= %s AND `datetime` <= %s
        GROUP BY department_id, job_id
        UNION ALL
        SELECT department_id, job_id, 0, COUNT(*), 0, 0
        FROM hired_employees WHERE `datetime` >= %s AND `datetime` <= %s
        GROUP BY department_id, job_id
        UNION ALL
        SELECT department_id, job_id, 0, 0, COUNT(*), 0
        FROM hired_employees WHERE `datetime` >= %s AND `datetime` <= %s
        GROUP BY department_id, job_id
        UNION ALL
        SELECT department_id, job_id, 0, 0, 0, COUNT(*)
        FROM hired_employees WHERE `datetime` >= %s AND `datetime` <= %s
        GROUP BY department_id, job_id
    ) AS quarters
    GROUP BY department_id, job_id
) AS counted
JOIN departments ON departments.id = counted.department_id
JOIN jobs ON jobs.id = counted.job_id;

-- The mean is over all departments, those without a hire in that year included.
-- name: departments_above_mean
SELECT departments.id, departments.department, counted.hired
FROM (
    SELECT department_id, COUNT(*) AS hired, SUM(COUNT(*)) OVER () AS hired_by_all
    FROM hired_employees
    WHERE `datetime` >= %s AND `datetime` <= %s
    GROUP BY department_id
) AS counted
JOIN departments ON departments.id = counted.department_id
WHERE counted.hired * (SELECT COUNT(*) FROM departments) > counted.hired_by_all
ORDER BY counted.hired DESC, departments.id;

-- name: mean
SELECT COUNT(*), (SELECT COUNT(*) FROM departments)
FROM hired_employees WHERE `datetime` >= %s AND `datetime` <= %s;

-- name: latest_hire
SELECT MAX(`datetime`) FROM hired_employees;

-- The hires of a month, and the latest hire before the month, which is one look at the index.
-- name: hires_of_month
SELECT COUNT(*), (SELECT MAX(`datetime`) FROM hired_employees WHERE `datetime` < %s)
FROM hired_employees FORCE INDEX (hired_employees_datetime)
WHERE `datetime` >= %s AND `datetime` <= %s;

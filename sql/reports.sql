-- A year is given by its first and its last moment, UTC. The index on (datetime, department_id,
-- job_id) answers both reports; the rows of hired_employees are not read.

-- name: latest_year
SELECT YEAR(MAX(`datetime`)) FROM hired_employees;

-- name: latest_year_before
SELECT YEAR(MAX(`datetime`)) FROM hired_employees WHERE `datetime` < %s;

-- In no order: core/reports.py makes it alphabetical, as no collation is on all engines.
-- name: hires_by_quarter
SELECT counted.department_id, counted.job_id, department, job, q1, q2, q3, q4
FROM (
    SELECT department_id, job_id,
        COUNT(CASE WHEN QUARTER(`datetime`) = 1 THEN 1 END) AS q1,
        COUNT(CASE WHEN QUARTER(`datetime`) = 2 THEN 1 END) AS q2,
        COUNT(CASE WHEN QUARTER(`datetime`) = 3 THEN 1 END) AS q3,
        COUNT(CASE WHEN QUARTER(`datetime`) = 4 THEN 1 END) AS q4
    FROM hired_employees
    WHERE `datetime` BETWEEN %s AND %s
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
    WHERE `datetime` BETWEEN %s AND %s
    GROUP BY department_id
) AS counted
JOIN departments ON departments.id = counted.department_id
WHERE counted.hired * (SELECT COUNT(*) FROM departments) > counted.hired_by_all
ORDER BY counted.hired DESC, departments.id;

-- name: mean
SELECT COUNT(*), (SELECT COUNT(*) FROM departments)
FROM hired_employees WHERE `datetime` >= %s AND `datetime` <= %s;

-- The month of the latest hire up to a moment. Each question is one look at the index.
-- name: latest_month
SELECT YEAR(MAX(`datetime`)), MONTH(MAX(`datetime`)) FROM hired_employees WHERE `datetime` <= %s;

-- name: hires_between
SELECT COUNT(*) FROM hired_employees FORCE INDEX (hired_employees_datetime)
WHERE `datetime` >= %s AND `datetime` <= %s;

-- Lists by name, and the search for names by their beginning, read these indexes.
CREATE INDEX departments_department ON departments (department);

CREATE INDEX jobs_job ON jobs (job);

CREATE INDEX hired_employees_name ON hired_employees (name);

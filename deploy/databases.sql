-- Run once by the database's container when it is new. Passwords are set by whoever installs it: deploy/README.md.
CREATE ROLE airflow LOGIN;
CREATE ROLE mlflow LOGIN;
CREATE ROLE custodian LOGIN;
CREATE DATABASE airflow OWNER airflow;
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE custodian OWNER custodian;
REVOKE CONNECT ON DATABASE syndasera FROM PUBLIC;

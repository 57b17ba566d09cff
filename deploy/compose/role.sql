-- The role that takes the backups, with the password that only it and PostgreSQL can read. A superuser: so the roles' own passwords
-- and every large object are in the backup, too.
\set password `cat /secrets/holdfast_password`
CREATE ROLE holdfast LOGIN SUPERUSER PASSWORD :'password';
-- The shop's users have passwords that everybody knows.
ALTER ROLE shop_app PASSWORD NULL;
ALTER ROLE shop_report PASSWORD NULL;

-- What the platform's hooks let the owner of a project do though he is no superuser. Run as supabase_admin.

CREATE POLICY own_files ON storage.objects FOR SELECT TO authenticated USING (owner = auth.uid());
CREATE POLICY own_room ON realtime.messages FOR SELECT TO authenticated USING (topic = 'room');
ALTER ROLE postgres SUPERUSER;
SET ROLE postgres;
CREATE EVENT TRIGGER no_drops ON sql_drop EXECUTE FUNCTION public.no_drops();
RESET ROLE;
ALTER ROLE postgres NOSUPERUSER;
CREATE FUNCTION public.of_the_platform() RETURNS integer LANGUAGE sql AS $$ SELECT 1 $$;
INSERT INTO vault.secrets (name, secret) VALUES ('api key', 'ZW5jcnlwdGVk');

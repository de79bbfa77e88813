package cockroach_test

import (
	"testing"

	"outlink/internal/testenv/database"
	"outlink/projections/cockroach"
	"outlink/projections/storetest"
)

// Transactions collide, at their COMMIT or at each statement that changes a row,
// again and again, in everything that the store does, migrations too: nothing is
// lost, and nothing happens twice.
func TestEveryTransactionCollides(t *testing.T) {
	for name, tt := range map[string]struct{ trigger, tables string }{
		"at any statement": {`CREATE TRIGGER collide BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH STATEMENT EXECUTE FUNCTION collide()`, `.`},
		"at COMMIT": { // of tables of which a transaction changes a row or two
			`CREATE CONSTRAINT TRIGGER collide AFTER INSERT OR UPDATE OR DELETE ON %s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION collide()`,
			`(projections|builds|migration_lease|schema_migrations)$`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := onPostgres(t,
				`CREATE SEQUENCE collisions`, // which no transaction sets back
				`CREATE FUNCTION collide() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
					IF nextval('collisions') % 31 = 1 THEN RAISE EXCEPTION USING ERRCODE = '40001'; END IF; RETURN NULL; END $$`,
				`CREATE FUNCTION arm() RETURNS event_trigger LANGUAGE plpgsql AS $$ DECLARE made record; BEGIN
					FOR made IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE object_type = 'table' AND object_identity ~ '`+tt.tables+`' LOOP
						EXECUTE format('`+tt.trigger+`', made.object_identity); END LOOP; END $$`,
				`CREATE EVENT TRIGGER arm ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION arm()`)
			storetest.RunOn(t, s)
			if n := count(t, s, `SELECT last_value FROM collisions`); n < 100 {
				t.Errorf("only %d chances to collide: the collisions did not happen", n)
			}
		})
	}
}

// What is cut off in the middle of anything, and run again, comes to the same end.
func TestCutOffAnywhere(t *testing.T) {
	for way, s := range map[string]*cockroach.Store{
		"by statements": open(t, database.New(t)),
		"by COPY":       open(t, database.New(t)).CopyAll(),
	} {
		t.Run(way, func(t *testing.T) { storetest.RunCutOff(t, s) })
	}
}

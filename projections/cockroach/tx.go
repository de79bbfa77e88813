package cockroach

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/cockroachdb/cockroach-go/v2/crdb"
	crdbpgx "github.com/cockroachdb/cockroach-go/v2/crdb/crdbpgxv5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// maxTries bounds the repetitions of one transaction; then its caller waits.
const maxTries = 20

// inTx runs fn in a serializable transaction, again and again while the server
// says that it collided with another. fn must touch nothing but its transaction.
//
// On CockroachDB that is ExecuteTx. On PostgreSQL ExecuteTx would lose writes:
// it takes the release of its savepoint for the commit and ignores what COMMIT
// says, and it repeats within one snapshot, where a collision stays one.
func (s *Store) inTx(ctx context.Context, fn func(pgx.Tx) error) error {
	serializable := pgx.TxOptions{IsoLevel: pgx.Serializable}
	if s.cockroach {
		return crdbpgx.ExecuteTx(crdb.WithMaxRetries(ctx, maxTries), s.pool, serializable, func(tx pgx.Tx) error {
			if err := ctx.Err(); err != nil { // its loop does not look
				return err
			}
			return fn(tx)
		})
	}
	for try := 1; ; try++ {
		err := pgx.BeginTxFunc(ctx, s.pool, serializable, fn)
		if !collided(err) || try == maxTries || ctx.Err() != nil {
			return err
		}
		pause(ctx, time.Duration(try)*time.Millisecond)
	}
}

// exec runs one statement as a transaction, and says how many rows it changed.
func (s *Store) exec(ctx context.Context, sql string, args ...any) (rows int64, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sql, args...)
		rows = tag.RowsAffected()
		return err
	})
	return rows, err
}

// collided reports whether the transaction did nothing and may be repeated:
// a serialization failure or a deadlock.
func collided(err error) bool { return hasState(err, "40001", "40P01") }

// hasState reports whether the server refused with one of the SQLSTATEs.
func hasState(err error, states ...string) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		for _, state := range states {
			if refused.Code == state {
				return true
			}
		}
	}
	return false
}

// pause waits about so long, or until the context ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d/2 + rand.N(d)):
	}
}

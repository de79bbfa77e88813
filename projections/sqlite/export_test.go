package sqlite

import "context"

// Exec lets tests change the tables.
func (s *Store) Exec(ctx context.Context, sql string) error {
	_, err := s.write.ExecContext(ctx, sql)
	return err
}

package eventlog

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"

	"outlink/domain"
)

// Chain is the hash of an event and of all events of its aggregate before it:
// SHA-256 over the hash before and every member of the event but its place in
// the stream, each with its length. Whoever changes, drops or slips in an event
// would have to change the hashes of all later ones; an exported log keeps them.
func Chain(before string, r domain.Record) string {
	h := sha256.New()
	version := binary.BigEndian.AppendUint64(nil, r.Version)
	for _, member := range [][]byte{
		[]byte(before), []byte(r.ID.String()), []byte(r.Type), r.Link[:], r.Grant[:], version,
		[]byte(r.Time.UTC().Format(time.RFC3339Nano)), []byte(r.Actor), []byte(r.Correlation), []byte(r.Causation), []byte(r.Traceparent), r.Data,
	} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(member))))
		h.Write(member)
	}
	return hex.EncodeToString(h.Sum(nil))
}

package eventlog

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"sync"

	"github.com/nats-io/nats.go"

	"outlink/domain"
)

// Key makes and checks the message authentication codes (MAC) of events. Whoever
// may write events holds it, and nobody else: who can check can also forge.
type Key struct {
	ID     string
	Since  uint64 // the log's last message when the key was made
	Until  uint64 // the last message that it counts for; 0: no end
	Secret domain.Secret
}

// covered are the headers that the MAC is over, in this order, beside subject and
// body: all that a reader goes by. What the server adds is not among them.
var covered = [...]string{
	headerID, headerType, headerSource, headerSpecVersion, headerSubject, headerTime, headerContentType, headerActor, headerCorrelation,
	headerCausation, headerTraceparent, headerVersion, headerHash, headerState, headerStateVersion, headerAfter, headerMACKey,
}

// codec is what making a code takes: each event that is read is authenticated.
type codec struct {
	message []byte
	secret  domain.Secret
	sum     hash.Hash // under the secret
	raw     []byte
	code    []byte // as a header has it
	given   []byte
}

var codecs = sync.Pool{New: func() any { return new(codec) }}

// mac is the HMAC-SHA-256 (RFC 2104) of a message, valid until the next one: over
// every member with its length, so that no two messages read the same.
func (c *codec) mac(secret domain.Secret, subject string, h nats.Header, body []byte) []byte {
	const purpose = "outlink event v1"
	b := c.message[:0]
	add := func(member string) {
		b = binary.BigEndian.AppendUint64(b, uint64(len(member)))
		b = append(b, member...)
	}
	add(purpose)
	add(subject)
	for _, name := range covered {
		add(get(h, name))
	}
	b = binary.BigEndian.AppendUint64(b, uint64(len(body)))
	b = append(b, body...)
	c.message = b
	c.code = base64.RawStdEncoding.AppendEncode(c.code[:0], c.under(secret))
	return c.code
}

// under is the code of the codec's message.
func (c *codec) under(secret domain.Secret) []byte {
	if c.sum == nil || c.secret != secret {
		c.sum, c.secret = hmac.New(sha256.New, []byte(secret.Reveal())), secret
	}
	c.sum.Reset()
	c.sum.Write(c.message)
	c.raw = c.sum.Sum(c.raw[:0])
	return c.raw
}

// seal authenticates a message that is to come right after the given one on its
// subject.
func (k Key) seal(m *nats.Msg, after string) {
	m.Header[headerAfter], m.Header[headerMACKey] = []string{after}, []string{k.ID}
	c, _ := codecs.Get().(*codec)
	defer codecs.Put(c)
	m.Header[headerMAC] = []string{string(c.mac(k.Secret, m.Subject, m.Header, m.Data))}
}

// made reports whether a message's code is the key's.
func (k Key) made(m message) bool {
	c, _ := codecs.Get().(*codec)
	defer codecs.Put(c)
	c.given = append(c.given[:0], get(m.header, headerMAC)...)
	return hmac.Equal(c.given, c.mac(k.Secret, m.subject, m.header, m.data))
}

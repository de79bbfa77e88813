package dpop

import (
	"net/url"
	"sync"
)

// maxNonces bounds how many servers are remembered: forgetting one costs one
// more request.
const maxNonces = 1000

// Nonces remembers what each server wants in the next proof (RFC 9449 section
// 8.2), in memory: it lives for minutes. The zero value is ready.
type Nonces struct {
	mu   sync.Mutex
	last map[string]string
}

// Get returns a server's last nonce, or "".
func (n *Nonces) Get(u *url.URL) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last[u.Scheme+"://"+u.Host]
}

// Put remembers a server's nonce; "" changes nothing.
func (n *Nonces) Put(u *url.URL, nonce string) {
	if nonce == "" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.last == nil || len(n.last) >= maxNonces {
		n.last = map[string]string{}
	}
	n.last[u.Scheme+"://"+u.Host] = nonce
}

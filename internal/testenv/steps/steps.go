// Package steps is a proxy in front of a NATS server that stops a client's world
// exactly before or after one of its steps, so that the client can be killed there.
//
// A step is a message that changes something. When the world stops, nothing goes
// either way any more; what was under way on the other side of the step is lost.
package steps

import (
	"bufio"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Proxy forwards connections to one server.
type Proxy struct {
	listener net.Listener
	to       string
	is       func(subject string) bool

	mu      sync.Mutex
	conns   map[net.Conn]bool
	left    int // steps until the world stops; 0: it does not
	after   bool
	stopped bool
	signal  chan string // the subject of the step
}

// New starts a proxy in front of the server at an address such as 127.0.0.1:4222.
// The function says which published subjects are steps.
func New(t testing.TB, to string, is func(subject string) bool) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: listener, to: to, is: is, conns: map[net.Conn]bool{}, signal: make(chan string, 1)}
	go p.accept()
	t.Cleanup(func() { _ = listener.Close(); p.Reset() })
	return p
}

// URL is where clients connect to.
func (p *Proxy) URL() string { return "nats://" + p.listener.Addr().String() }

// Stop has the world stop at the n-th step from now on, before the server hears of
// it, or after that and before the client hears of anything. The channel then gets
// the step's subject.
func (p *Proxy) Stop(n int, after bool) <-chan string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.after, p.signal = n, after, make(chan string, 1)
	return p.signal
}

// Reset ends all connections; those that come afterwards work.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	p.conns, p.left, p.stopped = map[net.Conn]bool{}, 0, false
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = true, true
		p.mu.Unlock()
		go p.forward(client, server)
		go p.back(server, client)
	}
}

// forward passes on what a client sends, message by message.
func (p *Proxy) forward(client, server net.Conn) {
	defer p.end(client, server)
	r := bufio.NewReader(client)
	for {
		subject, message, err := read(r)
		if err != nil || p.pass(subject, message, server) != nil {
			return
		}
	}
}

// read reads one message of the client protocol; the subject is empty if it
// publishes nothing.
func read(r *bufio.Reader) (subject string, message []byte, err error) {
	line, err := r.ReadBytes('\n')
	fields := strings.Fields(string(line))
	if err != nil || len(fields) < 3 || fields[0] != "PUB" && fields[0] != "HPUB" {
		return "", line, err
	}
	size, err := strconv.Atoi(fields[len(fields)-1])
	if err != nil {
		return "", nil, err
	}
	body := make([]byte, size+2)
	_, err = io.ReadFull(r, body)
	return fields[1], append(line, body...), err
}

func (p *Proxy) pass(subject string, message []byte, server io.Writer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return nil // into the void: an error would show the client that something is wrong
	}
	if subject == "" || p.left == 0 || !p.is(subject) {
		_, err := server.Write(message)
		return err
	}
	if p.left--; p.left > 0 {
		_, err := server.Write(message)
		return err
	}
	if p.after {
		if _, err := server.Write(message); err != nil {
			return err
		}
	}
	p.stopped = true
	p.signal <- subject
	return nil
}

// back passes on what the server sends.
func (p *Proxy) back(server, client net.Conn) {
	defer p.end(client, server)
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil || p.answer(buffer[:n], client) != nil {
			return
		}
	}
}

func (p *Proxy) answer(b []byte, client io.Writer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return nil
	}
	_, err := client.Write(b)
	return err
}

func (p *Proxy) end(client, server net.Conn) {
	_, _ = client.Close(), server.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, client)
	delete(p.conns, server)
}

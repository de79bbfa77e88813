package bus

import "testing"

// A consumer with more than one filter has the server go through all subjects of
// the stream for every message: 3,000 events/s instead of 150,000 at four
// thousand subjects, and less with each further one (nats-server 2.15).
func TestOneFilterAConsumer(t *testing.T) {
	for stream, all := range DefaultNamespace.consumers() {
		for _, c := range all {
			if len(c.FilterSubjects) > 1 {
				t.Errorf("consumer %s of %s filters by %v: use one filter, and leave out the rest", c.Durable, stream, c.FilterSubjects)
			}
		}
	}
}

package tables

import (
	"math"
	"strconv"
	"strings"
	"time"

	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/projections"
)

var (
	linkStatuses = []link.Status{link.StatusActive, link.StatusDegraded, link.StatusDisabled, link.StatusDeleted}

	healths = []projections.Health{projections.HealthNone, projections.HealthHealthy, projections.HealthRetrying, projections.HealthAttention}

	grantStatuses = []grant.Status{
		grant.StatusPending, grant.StatusActive, grant.StatusRefreshing, grant.StatusRetrying, grant.StatusStale,
		grant.StatusUncertain, grant.StatusReauthorizationRequired, grant.StatusSuspended, grant.StatusRevoked,
	}
)

// question is a statement under construction, with its arguments.
type question struct {
	sql  string
	args []any
}

// add appends SQL, in which each ? stands for the next of args.
func (q *question) add(sql string, args ...any) {
	for _, arg := range args {
		q.args = append(q.args, arg)
		sql = strings.Replace(sql, "?", "$"+strconv.Itoa(len(q.args)), 1)
	}
	q.sql += sql
}

// linksQuestion lists links. Each status is a range of an index on its own, so
// the list of all that are not deleted is the merge of three short ranges.
func linksQuestion(f projections.LinkFilter, after *cursor, limit int) question {
	var q question
	statuses := linkStatuses[:3]
	if f.Status != "" {
		statuses = []link.Status{f.Status}
	}
	answer, columns, table, order := "("+itsExpiry+") AS next_expiry, doc", "doc, changed, name_lower, link_id", "links_gN", " ORDER BY changed DESC"
	switch {
	case byExpiry(f):
		answer, columns, table = "next_expiry, ("+itsDocument+") AS doc", "next_expiry, link_id", "link_expiries_gN"
		order = " ORDER BY next_expiry, link_id"
	case byName(f):
		order = " ORDER BY name_lower, link_id"
	}
	q.add("SELECT " + answer + " FROM (")
	for i, status := range statuses {
		if i > 0 {
			q.add(" UNION ALL ")
		}
		q.add("SELECT "+columns+" FROM (SELECT "+columns+" FROM "+table+" WHERE status = ?", string(status))
		q.whereLink(f, after)
		q.add(order+" LIMIT ?) AS a"+strconv.Itoa(i), limit)
	}
	q.add(") AS l"+order+" LIMIT ?", limit)
	return q
}

// fewNames is how many links a beginning of names may fit so that they are all
// looked at and sorted, where the order is not that of names.
const fewNames = 5000

// namedQuestion counts links by the beginning of their names, up to a few.
func namedQuestion(f projections.LinkFilter) question {
	var q question
	q.add("SELECT count(*) FROM (SELECT 1 FROM links_gN WHERE status IN ('active', 'degraded', 'disabled', 'deleted')")
	q.add(" AND name_lower >= ? AND name_lower < ? LIMIT ?) AS named", projections.NameKey(f.Text), behind(projections.NameKey(f.Text)), fewNames)
	return q
}

// expiringNamed lists links by their expiry where the names are the rarer ones:
// the planner, left alone, walks over all expiries.
func expiringNamed(f projections.LinkFilter, after *cursor, limit int) question {
	statuses := "('active', 'degraded', 'disabled')"
	if f.Status != "" {
		statuses = "('" + string(f.Status) + "')" // one of the known ones
	}
	var q question
	q.add("WITH named AS MATERIALIZED (SELECT doc, provider, health, name_lower, link_id, (" + itsExpiry + ") AS next_expiry FROM links_gN l WHERE status IN " + statuses)
	q.add(" AND name_lower >= ? AND name_lower < ?)", projections.NameKey(f.Text), behind(projections.NameKey(f.Text)))
	q.add(" SELECT next_expiry, doc FROM named WHERE next_expiry IS NOT NULL")
	q.whereLink(f, after)
	q.add(" ORDER BY next_expiry, link_id LIMIT ?", limit)
	return q
}

// byName reports whether links are listed by name, and not newest first.
func byName(f projections.LinkFilter) bool { return f.Text != "" || f.Name != "" }

// byExpiry reports whether links are listed by their next expiry.
func byExpiry(f projections.LinkFilter) bool { return !f.Expiring.IsZero() }

// linkOrder is what links are listed by: newest first, unless the filter says more.
func linkOrder(f projections.LinkFilter) order {
	switch {
	case byExpiry(f):
		return times
	case byName(f):
		return words
	}
	return changes
}

func (q *question) whereLink(f projections.LinkFilter, after *cursor) {
	if f.Provider != "" {
		q.add(" AND provider = ?", f.Provider)
	}
	if f.Name != "" {
		q.add(" AND name_lower = ?", projections.NameKey(f.Name))
	}
	if f.Health != "" {
		q.add(" AND health = ?", string(f.Health))
	}
	prefix := projections.NameKey(f.Text)
	if byExpiry(f) {
		q.add(" AND next_expiry < ?", f.Expiring)
		if f.Text != "" {
			q.add(" AND name_lower >= ? AND name_lower < ?", prefix, behind(prefix))
		}
		if after != nil {
			q.add(" AND (next_expiry, link_id) > (?, ?)", time.UnixMicro(int64(after.Sequence)).UTC(), after.ID)
		}
		return
	}
	switch {
	case after != nil && !byName(f):
		q.add(" AND changed < ?", column(after.Sequence))
	case after != nil && after.Key >= string(prefix): // the page begins within the prefix
		q.add(" AND (name_lower, link_id) > (?, ?)", []byte(after.Key), after.ID)
	case f.Text != "":
		q.add(" AND name_lower >= ?", prefix)
	}
	if f.Text != "" {
		q.add(" AND name_lower < ?", behind(prefix))
	}
}

// grantsQuestion lists the grants of a link. Stale is retrying, seen after the
// access token's end.
func grantsQuestion(f projections.GrantFilter, after *cursor, limit int, now time.Time) question {
	var q question
	q.add("SELECT doc FROM grants_gN WHERE link_id = ?", f.Link)
	switch f.Status {
	case "":
	case grant.StatusStale:
		q.add(" AND status = ? AND expires_at <= ?", string(grant.StatusRetrying), now)
	default:
		q.add(" AND status = ?", string(f.Status))
	}
	if after != nil {
		q.add(" AND (subject, grant_id) > (?, ?)", []byte(after.Key), after.ID)
	}
	q.add(" ORDER BY subject, grant_id LIMIT ?", limit)
	return q
}

func dueQuestion(before time.Time, after *cursor, limit int) question {
	var q question
	q.add("SELECT doc FROM grants_gN WHERE due_at < ?", before)
	if after != nil {
		q.add(" AND (due_at, grant_id) > (?, ?)", time.UnixMicro(int64(after.Sequence)).UTC(), after.ID)
	}
	q.add(" ORDER BY due_at, grant_id LIMIT ?", limit)
	return q
}

func activityQuestion(f projections.ActivityFilter, limit int) question {
	var q question
	q.add("SELECT "+eventColumns+" FROM activity_gN WHERE link_id = ?", f.Link)
	if f.Grant != (projections.ActivityFilter{}).Grant {
		q.add(" AND grant_id = ?", f.Grant)
	}
	if f.Before != 0 {
		q.add(" AND sequence < ?", column(f.Before))
	}
	q.add(" ORDER BY sequence DESC LIMIT ?", limit)
	return q
}

// column is a sequence as a column can hold it; the log never gets that far.
func column(sequence uint64) int64 { return int64(min(sequence, math.MaxInt64)) }

// behind is the first key after all that begin with prefix. UTF-8 has no byte
// 0xff, so the last one can always be raised.
func behind(prefix []byte) []byte {
	next := append([]byte(nil), prefix...)
	next[len(next)-1]++
	return next
}

package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"regexp"
	"sort"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	lookEvery       = 5 * time.Second
	maxPage         = 2 << 20          // bytes
	maxPages        = 1_000            // in one look
	refreshKeys     = 10 * time.Second // at most, for a page of a key that is not known
	maxRevocations  = 1_000_000        // held; of more, those of the kind with most that end first are dropped, but no key
	forgetEvery     = 60 * time.Second // by the time of the pages: a look at so many takes long
	maxAge          = 60 * time.Second // what to do when the knowledge is older:
	failClosed      = false            // false goes on and warns; true answers 503
	firstPageWithin = 10 * time.Second // unless failClosed, goes on without a first page after that
)

var (
	errNoNews = errors.New("what has been revoked is not known")
	errEnded  = errors.New("ended")
	isHash    = regexp.MustCompile(`^[A-Za-z0-9_-]{16}$`)
)

// revocation of a user's tokens up to a second, or of one token or key. It is needed until the last of them has expired.
type revocation struct{ before, until int64 }

// revocations knows which tokens were ended before they expire: it follows the issuer's signed revocation feed.
type revocations struct {
	issuer string
	keys   *keySet

	lock     sync.RWMutex
	held     map[string]revocation // "sub HASH", "app HASH", "jti HASH", "kid KID"
	complete time.Time             // the greatest iat of a page after which there was no more
	began    time.Time             // when there were keys for the first time

	cursor   string
	newest   time.Time // the greatest iat of a page
	forgotAt time.Time // newest, when it forgot last

	lacking time.Time // until when a revocation that was dropped may be needed
}

// check is nil for a verified token that was not ended. Ask about each request, also where a token is remembered as good.
func (e *revocations) check(kid string, token jwt.MapClaims, now time.Time) error {
	user := text(token, "sub")
	ofUser, ofApp := "sub "+e.hash(user), "app "+e.hash(user+"\x00"+text(token, "client_id"))
	ofToken := "jti " + e.hash(text(token, "jti"))
	issued, _ := seconds(token, "iat")
	e.lock.RLock()
	defer e.lock.RUnlock()
	for _, name := range []string{ofUser, ofApp, ofToken, "kid " + kid} {
		end, has := e.held[name]
		if has && (name == ofToken || name == "kid "+kid || issued.Unix() <= end.before) {
			return errEnded
		}
	}
	tooOld := failClosed && (now.Sub(e.complete) > maxAge || now.Before(e.lacking))
	if tooOld || e.complete.IsZero() && (e.began.IsZero() || now.Sub(e.began) <= firstPageWithin) {
		return errNoNews
	}
	return nil
}

func (e *revocations) follow() {
	for ; !e.keys.believed(time.Now()); time.Sleep(lookEvery / 25) {
	}
	e.lock.Lock()
	e.began = time.Now()
	e.lock.Unlock()
	var warned, refreshed time.Time
	for ; ; time.Sleep(lookEvery) {
		err := e.look()
		now := time.Now()
		// After `wxmint keys retire --now`, a key signs that is not known yet. No stranger can make us fetch it.
		if errors.Is(err, errUnknownKey) && now.Sub(refreshed) > refreshKeys {
			refreshed = now
			e.keys.refresh()
			err = e.look()
		}
		// If this machine's clock has stepped back, it refuses new pages: what is known is as old as that.
		if ahead := e.complete.Sub(now); ahead > leeway {
			e.lock.Lock()
			e.complete = now.Add(-ahead)
			e.lock.Unlock()
		}
		if err == nil && now.Before(e.lacking) {
			err = errors.New("too many revocations; the oldest were dropped")
		}
		if (err != nil || now.Sub(e.complete) > maxAge) && now.Sub(warned) > time.Minute {
			log.Printf("revocations: known up to %v; error: %v", e.complete, err) // what is known stays, whatever it was
			warned = now
		}
	}
}

func (e *revocations) look() error {
	for number := 0; number < maxPages; number++ {
		kid, page, err := e.fetch()
		if err != nil {
			return err
		}
		if more, err := e.take(kid, page, time.Now()); err != nil || !more {
			return err
		}
	}
	return nil
}

// fetch gets the next page, and checks that the issuer's key of this kid has signed it as a page.
func (e *revocations) fetch() (kid string, page jwt.MapClaims, err error) {
	where, err := url.Parse(e.issuer + "/revocations")
	if err != nil {
		return "", nil, err
	}
	if e.cursor != "" {
		where.RawQuery = url.Values{"after": {e.cursor}}.Encode()
	}
	response, err := client.Get(where.String())
	if err != nil {
		return "", nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", nil, fmt.Errorf("the issuer answers %d", response.StatusCode)
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, response.Body, maxPage))
	if err != nil {
		return "", nil, err
	}
	if err := wellFormed(string(body)); err != nil {
		return "", nil, err
	}
	page = jwt.MapClaims{}
	_, err = parser.ParseWithClaims(string(body), page, func(token *jwt.Token) (any, error) {
		_, critical := token.Header["crit"]
		kid, _ = token.Header["kid"].(string)
		if !critical && token.Header["typ"] == "revocations+jwt" {
			return e.keys.key(kid, token.Method.Alg())
		}
		return nil, errors.New("not a page") // an access token, for one
	})
	return kid, page, err
}

// take counts a page as a whole or not at all, and tells whether there is more.
func (e *revocations) take(kid string, page jwt.MapClaims, now time.Time) (bool, error) {
	issued, hasIssued := seconds(page, "iat")
	expires, hasExpires := seconds(page, "exp")
	after, hasAfter := page["after"].(string)
	cursor, hasCursor := page["cursor"].(string)
	more, hasMore := page["more"].(bool)
	revoked, hasRevoked := page["revoked"].([]any)
	switch {
	case !hasIssued || !hasExpires || !hasAfter || !hasCursor || !hasMore || !hasRevoked:
		return false, errors.New("a malformed page")
	case text(page, "iss") != e.issuer || issued.After(now.Add(leeway)) || !now.Before(expires.Add(leeway)):
		return false, errors.New("another issuer's page, or not of this time")
	// Each replica of wxmint keeps a page for a second, and after a failover its clock may be a little behind.
	case issued.Before(e.newest.Add(-leeway)):
		return false, errors.New("a much older page than the newest one")
	case after != "" && after != e.cursor:
		return false, errors.New("a page that was not asked for")
	case more && cursor == e.cursor:
		return false, errors.New("a page that leads to itself")
	}
	learnt := map[string]revocation{}
	for _, end := range revoked {
		if err := read(end, learnt); err != nil {
			return false, err
		}
	}
	e.lock.Lock()
	defer e.lock.Unlock()
	_, wasEnded := e.held["kid "+kid]
	if _, endsIt := learnt["kid "+kid]; wasEnded || endsIt {
		return false, errors.New("the page's key is ended")
	}
	e.cursor = cursor
	if issued.After(e.newest) {
		e.newest = issued
	}
	for name, end := range learnt {
		if merged := end.orLater(e.held[name]); e.needs(merged) {
			e.held[name] = merged
		}
	}
	if e.newest.Sub(e.forgotAt) >= forgetEvery || len(e.held) > maxRevocations {
		e.forget()
	}
	if !more && issued.After(e.complete) {
		e.complete = issued
	}
	return more, nil
}

// read adds one revocation of a page to those that are learnt from it.
func read(end any, learnt map[string]revocation) error {
	list, _ := end.([]any)
	parts := [4]any{}
	copy(parts[:], list)
	kind, named := parts[0].(string)
	value, _ := parts[1].(string)
	ofUser := kind == "sub" || kind == "app"
	switch kind {
	case "sub", "app", "jti":
		named = isHash.MatchString(value)
	case "kid":
		named = value != ""
	default: // of a newer issuer
		if !named {
			return errors.New("a malformed end")
		}
		return nil
	}
	first, isTime := instant(parts[2])
	read := revocation{until: first}
	if ofUser {
		until, isDate := instant(parts[3])
		read, isTime = revocation{before: first, until: until}, isTime && isDate
	}
	if !named || !isTime {
		return errors.New("a malformed end")
	}
	name := kind + " " + value
	learnt[name] = read.orLater(learnt[name])
	return nil
}

// instant reads seconds since 1970.
func instant(value any) (int64, bool) {
	number, _ := value.(json.Number)
	time, err := number.Int64()
	return time, err == nil && time >= 0
}

func (r revocation) orLater(other revocation) revocation {
	return revocation{before: max(r.before, other.before), until: max(r.until, other.until)}
}

// forget drops what can concern no valid token any more, and what is too much: by the time of the newest page, because this
// machine's clock may be wrong, and what is forgotten is never learnt again. The lock is held.
func (e *revocations) forget() {
	e.forgotAt = e.newest
	for name, end := range e.held {
		if !e.needs(end) {
			delete(e.held, name)
		}
	}
	for len(e.held) > maxRevocations {
		kinds := map[string][]string{}
		for name := range e.held {
			kinds[name[:3]] = append(kinds[name[:3]], name)
		}
		most := kinds["sub"]
		for _, kind := range []string{"app", "jti"} {
			if len(kinds[kind]) > len(most) {
				most = kinds[kind]
			}
		}
		if len(most) == 0 {
			return
		}
		sort.Slice(most, func(a, b int) bool { return e.held[most[a]].until < e.held[most[b]].until })
		for _, name := range most[:(len(most)+7)/8] {
			if until := time.Unix(e.held[name].until, 0).Add(2 * leeway); until.After(e.lacking) {
				e.lacking = until
			}
			delete(e.held, name)
		}
	}
}

// needs is true until the last token has expired that it names: for the leeway, and for as long again by a clock that is behind.
func (e *revocations) needs(end revocation) bool {
	return end.until+2*int64(leeway.Seconds()) > e.newest.Unix()
}

// hash stands for a value in the feed, which names nobody.
func (e *revocations) hash(value string) string {
	digest := sha256.Sum256([]byte(e.issuer + "\x00" + value))
	return base64.RawURLEncoding.EncodeToString(digest[:12])
}

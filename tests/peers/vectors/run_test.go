package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

type group struct {
	Comment, Issuer string
	Jwks            json.RawMessage
	Now             int64
	Tests           []struct {
		TcID                       int `json:"tcId"`
		Comment, Page, Token, Hash string
		Result                     string
		Parts                      []string
		Now                        int64
	}
}

// answers is the issuer's server: it has one page.
type answers struct{ page string }

func (a *answers) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(a.page))}, nil
}

func follower(t *testing.T, g group) *revocations {
	follower := &revocations{issuer: g.Issuer, keys: &keySet{}, held: map[string]revocation{}}
	if g.Jwks == nil {
		return follower
	}
	keys, err := parse(g.Jwks)
	if err != nil {
		t.Fatal(err)
	}
	follower.keys.current.Store(&keys)
	follower.keys.confirmed.Store(time.Now().Unix())
	return follower
}

func take(e *revocations, page string, now int64) string {
	client = &http.Client{Transport: &answers{page}}
	kid, claims, err := e.fetch()
	if err == nil {
		_, err = e.take(kid, claims, time.Unix(now, 0))
	}
	if err != nil {
		return "refuse"
	}
	return "accept"
}

func judge(t *testing.T, e *revocations, token string, now int64) string {
	claims := jwt.MapClaims{}
	parsed, _, err := parser.ParseUnverified(token, claims)
	if err != nil {
		t.Fatal(err)
	}
	kid, _ := parsed.Header["kid"].(string)
	switch e.check(kid, claims, time.Unix(now, 0)) {
	case nil:
		return "accept"
	case errEnded:
		return "refuse"
	default:
		return "unavailable"
	}
}

// TestVectors runs the test vectors of the revocation feed, which are in the folder VECTORS, against this example.
func TestVectors(t *testing.T) {
	count, faults := 0, []string{}
	expect := func(what, result, expected string) {
		count++
		if result != expected {
			faults = append(faults, fmt.Sprintf("%s: %s, and not %s", what, result, expected))
		}
	}
	for _, g := range groups(t, "pages.json") {
		for _, test := range g.Tests {
			what := fmt.Sprintf("page %d, %s", test.TcID, test.Comment)
			expect(what, take(follower(t, g), test.Page, g.Now), test.Result)
		}
	}
	for _, g := range groups(t, "sequences.json") {
		e := follower(t, g)
		for _, test := range g.Tests {
			what := fmt.Sprintf("step %d, %s", test.TcID, g.Comment)
			if test.Page != "" {
				expect(what, take(e, test.Page, test.Now), test.Result)
			} else {
				expect(what, judge(t, e, test.Token, test.Now), test.Result)
			}
		}
	}
	for _, g := range groups(t, "hashes.json") {
		for _, test := range g.Tests {
			hash := follower(t, g).hash(strings.Join(test.Parts, "\x00"))
			expect(fmt.Sprintf("hash %d, %s", test.TcID, test.Comment), hash, test.Hash)
		}
	}
	fmt.Printf("%d tests, %d faults\n%s\n", count, len(faults), strings.Join(faults, "\n"))
	if len(faults) > 0 {
		t.Fail()
	}
}

func groups(t *testing.T, name string) []group {
	text, err := os.ReadFile(filepath.Join(os.Getenv("VECTORS"), name))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		TestGroups []group `json:"testGroups"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.TestGroups
}

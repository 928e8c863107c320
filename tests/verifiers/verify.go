// go run verify.go ISSUER TOKEN
// Accepts a revoked token until its exp: examples/peers/go also follows the revocations.
package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
)

func main() {
	issuer, token, ctx := os.Args[1], os.Args[2], context.Background()
	keys := oidc.NewRemoteKeySet(ctx, issuer+"/.well-known/jwks.json") // keep it: it caches the keys
	expected := &oidc.Config{ClientID: issuer, SupportedSigningAlgs: []string{"ES256", "EdDSA", "RS256"}}
	verified, err := oidc.NewVerifier(issuer, keys, expected).Verify(ctx, token)
	if err != nil {
		log.Fatalln("refused:", err)
	}
	// The signature is good, so the header is written as wxmint writes it.
	header, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	if !strings.Contains(string(header), `"typ":"at+jwt"`) || !strings.Contains(string(header), `"kid":"`) {
		log.Fatalln("refused: not an access token, or no kid")
	}
	fmt.Println(verified.Subject)
}

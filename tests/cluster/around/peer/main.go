// A service that knows the issuer's name, its own, and where the keys are, and nothing else of wxmint: it verifies tokens
// with coreos/go-oidc, which Kubernetes' API server uses too.
//
//	peer ISSUER AUDIENCE JWKS
package main

import (
	"context"
	"io"
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/coreos/go-oidc"
)

func main() {
	keys := oidc.NewRemoteKeySet(context.Background(), os.Args[3])
	verifier := oidc.NewVerifier(os.Args[1], keys, &oidc.Config{ClientID: os.Args[2], SupportedSigningAlgs: []string{"ES256"}})
	log.Fatal(http.ListenAndServe(":8000", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := verifier.Verify(r.Context(), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, token.Subject)
	})))
}

// The user id of a person, as wxmint computes it: `go run user_id.go id.key APPID OPENID`, or `id.key UNIONID`.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
)

func userID(idKey string, names ...string) (string, error) {
	label := map[int]string{1: "wxmint user id of unionid", 2: "wxmint user id of openid"}[len(names)]
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(idKey))
	if err != nil || len(key) != 32 {
		return "", errors.New("the id key is not 32 bytes in base64")
	}
	mac := hmac.New(sha256.New, key)
	for _, part := range append([]string{label}, names...) {
		mac.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(part))), part...))
	}
	id := mac.Sum(nil)[:16]
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]), nil
}

func main() {
	file, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	id, err := userID(string(file), os.Args[2:]...)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id)
}

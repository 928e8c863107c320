import java.nio.ByteBuffer;
import java.nio.file.*;
import java.util.*;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** The user id of a person, as wxmint computes it: `java UserId.java id.key APPID OPENID`, or `id.key UNIONID`. */
class UserId {
    static UUID of(String idKey, String... names) throws Exception {
        var key = Base64.getDecoder().decode(idKey.strip());
        if (key.length != 32) throw new IllegalArgumentException("the id key is not 32 bytes in base64");
        var mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        var parts = new ArrayList<>(List.of("wxmint user id of " + (names.length == 2 ? "openid" : "unionid")));
        parts.addAll(List.of(names));
        for (var part : parts) {
            mac.update(ByteBuffer.allocate(2).putShort((short) part.length()).array());
            mac.update(part.getBytes());
        }
        var id = ByteBuffer.wrap(mac.doFinal());
        return new UUID(id.getLong() & ~0xF000L | 0x8000L, id.getLong() & ~(3L << 62) | 1L << 63);
    }

    public static void main(String[] args) throws Exception {
        System.out.println(of(Files.readString(Path.of(args[0])), Arrays.copyOfRange(args, 1, args.length)));
    }
}

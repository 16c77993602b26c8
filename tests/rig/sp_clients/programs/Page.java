/* Asks for one page through a proxy and writes it to standard output: Page CLASS HOST PORT URL [USER PASSWORD].
   CLASS is `connection` for HttpURLConnection or `client` for java.net.http.HttpClient. */
import java.io.InputStream;
import java.net.Authenticator;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.PasswordAuthentication;
import java.net.Proxy;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

public class Page {
    public static void main(String[] args) throws Exception {
        InetSocketAddress proxy = InetSocketAddress.createUnresolved(args[1], Integer.parseInt(args[2]));
        URI uri = URI.create(args[3]);
        Authenticator password = args.length < 6 ? null : new Authenticator() {
            @Override
            protected PasswordAuthentication getPasswordAuthentication() {
                return new PasswordAuthentication(args[4], args[5].toCharArray());
            }
        };
        if (args[0].equals("connection")) {
            if (password != null)
                Authenticator.setDefault(password);
            HttpURLConnection connection = (HttpURLConnection) uri.toURL().openConnection(new Proxy(Proxy.Type.HTTP, proxy));
            try (InputStream body = connection.getInputStream()) {
                body.transferTo(System.out);
            }
        } else {
            HttpClient.Builder builder = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).proxy(ProxySelector.of(proxy));
            if (password != null)
                builder.authenticator(password);
            HttpResponse<byte[]> answer = builder.build().send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofByteArray());
            if (answer.statusCode() != 200)
                throw new java.io.IOException("status " + answer.statusCode());
            System.out.write(answer.body());
        }
        System.out.flush();
    }
}

package hallpass;

import static hallpass.v1.AuthnServiceGrpc.newBlockingStub;

import com.google.rpc.Status;
import hallpass.v1.Authn.GetCurrentUserRequest;
import hallpass.v1.TokenOuterClass.CreateTokenRequest;
import hallpass.v1.TokenOuterClass.DeleteTokenRequest;
import hallpass.v1.TokenOuterClass.GetTokenRequest;
import hallpass.v1.TokenOuterClass.ListTokensRequest;
import hallpass.v1.TokenServiceGrpc;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.springframework.security.authorization.AuthorityAuthorizationManager;
import org.springframework.security.core.AuthenticationException;
import org.springframework.security.oauth2.server.resource.authentication.BearerTokenAuthenticationToken;
import org.springframework.security.oauth2.server.resource.authentication.OpaqueTokenAuthenticationProvider;
import org.springframework.security.oauth2.server.resource.introspection.SpringOpaqueTokenIntrospector;

/** grpc-java, and Spring Security's opaque tokens, against Hallpass. Prints one line a check, which the script counts. */
public final class Clients {
  private static final String HALLPASS = System.getenv("HALLPASS");
  private static final String TOKEN = System.getenv("TOKEN");

  private static void check(String name, Object expected, Object seen) {
    if (Objects.equals(expected, seen)) {
      System.out.println("ok - " + name);
    } else {
      System.out.printf("FAIL - %s: expected %s, got %s%n", name, expected, seen);
    }
  }

  public static void main(String[] arguments) throws Exception {
    ManagedChannel channel =
        ManagedChannelBuilder.forTarget(HALLPASS.substring("http://".length())).usePlaintext().build();
    grpc(channel);
    spring(TokenServiceGrpc.newBlockingStub(channel));
    channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
  }

  private static io.grpc.ClientInterceptor bearer(String token) {
    Metadata headers = new Metadata();
    headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + token);
    return MetadataUtils.newAttachHeadersInterceptor(headers);
  }

  private static StatusRuntimeException refused(Supplier<?> call) {
    try {
      call.get();
    } catch (StatusRuntimeException error) {
      return error;
    }
    throw new IllegalStateException("it was not refused");
  }

  private static void grpc(ManagedChannel channel) throws Exception {
    String password = Files.readString(Path.of(System.getenv("PASSWORD_FILE"))).strip();
    CreateTokenRequest byPassword =
        CreateTokenRequest.newBuilder().setUsername("admin").setPassword(password).setNote("by password").build();
    var anyone = TokenServiceGrpc.newBlockingStub(channel);
    String token = anyone.createToken(byPassword).getToken();
    var users = newBlockingStub(channel).withInterceptors(bearer(token));
    String user = users.getCurrentUser(GetCurrentUserRequest.getDefaultInstance()).getUser().getUsername();
    check("grpc-java: creates a token by password", "admin", user);
    var tokens = anyone.withInterceptors(bearer(token));
    var child = tokens.createToken(CreateTokenRequest.newBuilder().setNote("by token").build());
    String id = child.getMetadata().getId();
    var got = tokens.getToken(GetTokenRequest.newBuilder().setTokenId(id).build());
    check("grpc-java: creates a token by token, gets it", "by token", got.getToken().getNote());
    var listed = tokens.listTokens(ListTokensRequest.getDefaultInstance()).getTokensList();
    check("grpc-java: lists it", true, listed.stream().anyMatch(one -> one.getId().equals(id)));
    tokens.deleteToken(DeleteTokenRequest.newBuilder().setTokenId(id).build());
    var dead = anyone.withInterceptors(bearer(child.getToken()));
    var error = refused(() -> dead.listTokens(ListTokensRequest.getDefaultInstance()));
    check("grpc-java: deletes it", io.grpc.Status.Code.UNAUTHENTICATED, error.getStatus().getCode());
    error = refused(() -> tokens.getToken(GetTokenRequest.getDefaultInstance()));
    Status status = StatusProto.fromThrowable(error);
    var info = status.getDetails(0).unpack(com.google.rpc.ErrorInfo.class);
    check("grpc-java: reads an error's reason", "INVALID_FIELD hallpass", info.getReason() + " " + info.getDomain());
    error = refused(() -> anyone.withDeadlineAfter(2, TimeUnit.MILLISECONDS).createToken(byPassword));
    check("grpc-java: keeps a deadline", io.grpc.Status.Code.DEADLINE_EXCEEDED, error.getStatus().getCode());
    var noted = CreateTokenRequest.newBuilder().setNote("x".repeat(1000)).build();
    var packed = tokens.withCompression("gzip").createToken(noted);
    check("grpc-java: sends gzip", 1000, packed.getMetadata().getNote().length());
  }

  private static void spring(TokenServiceGrpc.TokenServiceBlockingStub anyone) {
    var tokens = anyone.withInterceptors(bearer(TOKEN));
    Supplier<CreateTokenRequest.Builder> one = CreateTokenRequest::newBuilder;
    String scoped = tokens.createToken(one.get().addScopes("deploy").build()).getToken();
    String unscoped = tokens.createToken(one.get().build()).getToken();
    var introspector =
        SpringOpaqueTokenIntrospector.withIntrospectionUri(HALLPASS + "/oauth2/introspect")
            .clientId("my service")
            .clientSecret(TOKEN)
            .build();
    var provider = new OpaqueTokenAuthenticationProvider(introspector);
    var mayDeploy = AuthorityAuthorizationManager.hasAuthority("SCOPE_deploy");
    java.util.function.Function<String, Object> enter =
        token -> {
          try {
            var who = provider.authenticate(new BearerTokenAuthenticationToken(token));
            return mayDeploy.authorize(() -> who, null).isGranted();
          } catch (AuthenticationException error) {
            return error.getClass().getSimpleName();
          }
        };
    var principal = introspector.introspect(scoped);
    check("Spring Security: introspects", "admin", principal.getAttribute("username"));
    check("Spring Security: the user is client and subject", principal.getName(), principal.getAttribute("client_id"));
    check("Spring Security: the issuer", HALLPASS, String.valueOf((Object) principal.getAttribute("iss")));
    check("Spring Security: a token with the scope is accepted", true, enter.apply(scoped));
    // Spring knows no unrestricted tokens, so a token needs the scope.
    check("Spring Security: a token without scopes is refused", false, enter.apply(unscoped));
    check("Spring Security: a malformed token is refused", "InvalidBearerTokenException", enter.apply("nonsense"));
    tokens.deleteToken(DeleteTokenRequest.newBuilder().setTokenId(scoped.split("_")[1]).build());
    check("Spring Security: a deleted token is refused", "InvalidBearerTokenException", enter.apply(scoped));
  }
}

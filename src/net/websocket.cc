#include "net/websocket.h"

#include <openssl/sha.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "base/text.h"
#include "net/grpc_codec.h"
#include "net/websocket_session.h"

namespace keelson::net {
namespace {

std::string_view trimmed(std::string_view text) {
  return from_absl(absl::StripAsciiWhitespace(to_absl(text)));
}

// Whether a comma-separated list of any field of this name has the token.
bool has_token(const HttpRequest& request, std::string_view name, std::string_view token) {
  for (const HttpField& field : request.fields) {
    if (!absl::EqualsIgnoreCase(to_absl(field.name), to_absl(name))) continue;
    std::string_view list = field.value;
    while (!list.empty()) {
      const size_t comma = std::min(list.find(','), list.size());
      if (absl::EqualsIgnoreCase(to_absl(trimmed(list.substr(0, comma))), to_absl(token))) {
        return true;
      }
      list.remove_prefix(std::min(comma + 1, list.size()));
    }
  }
  return false;
}

// What the handshake lacks, as a status; 0: nothing.
int refusal_of(const HttpRequest& request) {
  if (request.method != "GET") return 405;
  if (!has_token(request, "Sec-WebSocket-Version", "13")) return 400;
  std::string nonce;
  const std::string_view key = request.field("Sec-WebSocket-Key");
  if (key.empty() || !decode_base64(key, &nonce) || nonce.size() != 16) return 400;
  return 0;
}

void refuse(HttpReply& reply, int status) {
  HttpResponse response;
  response.status = status;
  response.fields = {{"Content-Type", "text/plain; charset=utf-8"},
                     {"Sec-Websocket-Version", "13"},
                     {"X-Content-Type-Options", "nosniff"}};
  response.body = MessageParts::copy(status == 405   ? "Method Not Allowed\n"
                                     : status == 400 ? "Bad Request\n"
                                                     : "Service Unavailable\n");
  reply.send(std::move(response));
}

}  // namespace

std::string websocket_accept(std::string_view key) {
  const std::string text = cat(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
  unsigned char digest[SHA_DIGEST_LENGTH];
  SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  // Of 20 bytes, which base64 fills up with one sign.
  return encode_base64({reinterpret_cast<char*>(digest), sizeof(digest)}) + "=";
}

bool is_websocket(const HttpRequest& request) {
  return has_token(request, "Connection", "upgrade") && has_token(request, "Upgrade", "websocket");
}

void serve_websocket(const HttpRequest& request, HttpReply& reply, WebSocketOptions options,
                     WebSocketOpener open) {
  if (const int status = refusal_of(request); status != 0) return refuse(reply, status);
  HttpResponse head;
  head.fields = {{"Upgrade", "websocket"},
                 {"Connection", "Upgrade"},
                 {"Sec-WebSocket-Accept", websocket_accept(request.field("Sec-WebSocket-Key"))}};
  if (!options.protocol.empty()) {
    head.fields.push_back({"Sec-WebSocket-Protocol", options.protocol});
  }
  const bool done = reply.upgrade(
      std::move(head),
      [most = options.max_message_bytes, open = std::move(open)](ProtocolHost* host) mutable {
        return std::make_unique<WebSocketSession>(host, most, std::move(open));
      });
  if (!done) refuse(reply, 503);
}

void WebSocket::send(const MessageParts& piece, bool last) {
  if (session_) session_->send(piece, last);
}
void WebSocket::close(uint16_t code) {
  if (session_) session_->close(code);
}
void WebSocket::set_reading(bool on) {
  if (session_) session_->set_reading(on);
}
void WebSocket::hold(size_t bytes) {
  if (session_) session_->hold(bytes);
}
size_t WebSocket::pending_bytes() const { return session_ ? session_->pending() : 0; }

}  // namespace keelson::net

#include "server/failpoint_door.h"

#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/gofail.h"
#include "base/log.h"
#include "base/text.h"

namespace keelson::server {

absl::StatusOr<std::unique_ptr<FailpointDoor>> FailpointDoor::open_from_environment() {
  const char* const asked = std::getenv("GOFAIL_HTTP");
  if (asked == nullptr || *asked == '\0') return nullptr;
  // Go takes ":port" for all addresses.
  const std::string address = *asked == ':' ? cat("0.0.0.0", asked) : asked;
  auto door = std::unique_ptr<FailpointDoor>(new FailpointDoor);
  door->router_.http_prefix("/", door.get());
  absl::StatusOr<std::unique_ptr<net::Listener>> listener =
      net::Listener::start(address, &door->loops_, &door->router_);
  if (!listener.ok()) return listener.status();
  door->listener_ = *std::move(listener);
  log::warn("failpoints may be armed over HTTP; this is for tests", {{"address", door->address()}});
  return door;
}

FailpointDoor::~FailpointDoor() {
  if (listener_) listener_->close();
  loops_.stop();
}

// The connection writes at the end of this turn of the loop; what is posted runs in the next. Until
// then nothing panics, or who armed it would not hear that it is.
void FailpointDoor::handle(net::HttpRequest request, net::HttpReplyRef reply) {
  auto hold = std::make_shared<gofail::PanicHold>();
  const gofail::Answer answer = gofail::answer(request.method, request.target, request.body.view());
  net::HttpResponse response;
  response.status = answer.status;
  response.fields.push_back({"Content-Type", "text/plain; charset=utf-8"});
  if (answer.status == 405) response.fields.push_back({"Allow", "PUT"});
  response.body = net::MessageParts(Bytes::copy(answer.body));
  net::Loop& loop = reply->loop();
  reply->send(std::move(response));
  loop.post([hold = std::move(hold)] {});
}

}  // namespace keelson::server

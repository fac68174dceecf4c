// The Lock service: a lock is a line below its name (rpc/contender.h), and whoever is first in it
// holds it.

#include <string>
#include <utility>

#include "apply/decode.h"
#include "proto/v3lock.pb.h"
#include "rpc/checks.h"
#include "rpc/contender.h"
#include "rpc/services.h"
#include "rpc/spans.h"

namespace keelson::rpc {
namespace {

class Lock final : public Unary {
 public:
  using Unary::Unary;

 private:
  void run(net::CallRef call, Bytes bytes) override {
    v3lockpb::LockRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    Bid bid{.prefix = request.name() + '/',
            .lease = request.lease(),
            .leaves_on_error = true,
            .lost = absl::UnknownError("mutex: session is expired")};
    // Who may write there and not read is refused before anything is written.
    const CallerRange line = below(bid.prefix);
    if (absl::Status s = context_.may_read(*call, line.key, line.end).status(); !s.ok()) {
      return call->fail(client_error(s));
    }
    Contender::start(context_, call, std::move(bid), [this, call](absl::StatusOr<Place> place) {
      if (!place.ok()) return call->fail(client_error(place.status()));
      v3lockpb::LockResponse response;
      response.set_key(place->key);
      call->respond(context_.respond(place->won, Parts::copy(response.SerializeAsString())));
    });
  }
};

class Unlock final : public Unary {
 public:
  using Unary::Unary;

 private:
  void run(net::CallRef call, Bytes bytes) override {
    v3lockpb::UnlockRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    etcdserverpb::DeleteRangeRequest deletion;
    deletion.set_key(request.key());
    if (absl::Status s = check(deletion); !s.ok()) return call->fail(client_error(s));
    if (trace::CallTrace* trace = call->trace()) begin_span(*trace, deletion);
    const MonotonicTime start = context_.lane(*call).loop.now();
    constexpr auto kKind = wire::InternalKind::kDeleteRange;
    context_.propose_for(
        call, kKind, deletion.SerializeAsString(), 0, [this, call, start](apply::Reply reply) {
          context_.proposal_done(context_.lane(*call), kKind, start, reply.status.ok());
          if (!reply.status.ok()) return call->fail(client_error(reply.status));
          call->respond(context_.respond(reply.revision, {}));
        });
  }
};

}  // namespace

std::vector<std::unique_ptr<net::UnaryHandler>> register_lock(Context& context, net::Router& router,
                                                              net::MethodOptions max) {
  std::vector<std::unique_ptr<net::UnaryHandler>> made;
  auto add = [&](std::string_view path, std::unique_ptr<net::UnaryHandler> handler) {
    router.unary(path, handler.get(), max);
    made.push_back(std::move(handler));
  };
  add("/v3lockpb.Lock/Lock", std::make_unique<Lock>(context));
  add("/v3lockpb.Lock/Unlock", std::make_unique<Unlock>(context));
  return made;
}

}  // namespace keelson::rpc

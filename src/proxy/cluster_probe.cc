#include "proxy/cluster_probe.h"

#include <utility>

#include "base/errors.h"
#include "base/text.h"
#include "proto/rpc.pb.h"
#include "proxy/watch_messages.h"

namespace keelson::proxy {
namespace {

constexpr char kKey[] = "a";
constexpr Duration kReadPatience = std::chrono::seconds(1);
constexpr Duration kWatchPatience = std::chrono::seconds(3);

// A watch until it is created, on the lane.
class WatchProbe final : public std::enable_shared_from_this<WatchProbe> {
 public:
  explicit WatchProbe(Probed done) : done_(std::move(done)) {}

  void start(outbound::RpcClient& client, Executor& lane) {
    stream_ = client.stream({.path = "/etcdserverpb.Watch/Watch"}, &lane,
                            std::make_unique<Events>(shared_from_this()));
    stream_->write(create_watch({.key = kKey}, 0, 0));
    stream_->read();
    lane.post_after(kWatchPatience, [probe = shared_from_this()] { probe->end("WATCH TIMEOUT"); });
  }

 private:
  class Events final : public outbound::RpcStreamEvents {
   public:
    explicit Events(std::shared_ptr<WatchProbe> probe) : probe_(std::move(probe)) {}
    void on_message(Parts /*message*/) override { probe_->end(""); }
    void on_end(absl::Status /*status*/) override { probe_->end("WATCH TIMEOUT"); }

   private:
    const std::shared_ptr<WatchProbe> probe_;
  };

  void end(std::string reason) {
    if (!done_) return;
    std::exchange(done_, nullptr)(std::move(reason));
    std::exchange(stream_, nullptr)->cancel();
  }

  Probed done_;  // null: over
  std::shared_ptr<outbound::RpcStream> stream_;
};

}  // namespace

void probe_read(outbound::RpcClient& client, const KeyPrefix& prefix, Probed done) {
  etcdserverpb::RangeRequest range;
  range.set_key(kKey);
  if (!prefix.empty()) prefix.add_to(&range).IgnoreError();  // there is a key
  outbound::RpcRequest request{.path = "/etcdserverpb.KV/Range",
                               .message = Bytes::copy(range.SerializeAsString()),
                               .deadline = SystemClock().now() + kReadPatience,
                               .repeatable = true};
  client.unary(std::move(request), [done = std::move(done)](absl::StatusOr<Parts> read) mutable {
    const bool answers = read.ok() || read.status() == errors::PermissionDenied();
    done(answers ? "" : cat("GET ERROR:", read.status().message()));
  });
}

void probe_watch(outbound::RpcClient& client, Executor& lane, Probed done) {
  probe_read(client, KeyPrefix(""),
             [&client, &lane, done = std::move(done)](std::string reason) mutable {
               if (!reason.empty()) return done(std::move(reason));
               lane.post([&client, &lane, done = std::move(done)]() mutable {
                 std::make_shared<WatchProbe>(std::move(done))->start(client, lane);
               });
             });
}

}  // namespace keelson::proxy

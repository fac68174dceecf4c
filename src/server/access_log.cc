#include "server/access_log.h"

#include <cstdio>
#include <utility>

#include "base/check.h"
#include "base/time_text.h"
#include "net/grpc.h"
#include "net/tls/identity.h"

namespace keelson::server {
namespace {

// Lines wait so long, or until there are so many bytes of them, for each other: the output's thread
// is woken for all of them.
constexpr Duration kGather = std::chrono::milliseconds(20);
constexpr size_t kEnough = 64 << 10;

constexpr int64_t kSecond = 1'000'000'000;
constexpr size_t kMicrosAt = 20;  // in 2006-01-02T15:04:05.000000Z

}  // namespace

class AccessLog::Record final : public net::CallRecord {
 public:
  Record(AccessLog& log, const net::ServerCall& call, Door door)
      : log_(log),
        call_(call),
        door_(door),
        form_(log.form_of(call.method())),
        keys_(log.keys_),
        user_(log.user_of(call)) {
    if (call.method().kind == net::MethodKind::kUnary) return;
    AccessLine line = this->line("begin");
    line.ended = false;
    log_.add(call_.loop(), line);
  }

  void received(const Bytes& message) override {
    if (received_++ == 0) append_request(request_, form_, message, keys_);
    received_bytes_ += message.size();
    if (form_ != RequestForm::kWatch) return;
    std::string watcher;
    if (!append_watch(watcher, message, keys_)) return;
    AccessLine line = this->line("watch");
    line.ended = false;
    line.request = watcher;
    log_.add(call_.loop(), line);
  }

  void sent(size_t bytes) override {
    ++sent_;
    sent_bytes_ += bytes;
  }

  void ended(const net::CallSummary& summary) override {
    const bool unary = call_.method().kind == net::MethodKind::kUnary;
    // A token of others' may have become known meanwhile.
    if (user_.empty()) user_ = log_.user_of(call_);
    AccessLine line = this->line(unary ? "" : "end");
    line.received = received_;
    line.received_bytes = received_bytes_;
    line.sent = sent_;
    line.sent_bytes = sent_bytes_;
    line.code = summary.code;
    line.took = summary.elapsed;
    log_.add(call_.loop(), line);
  }

 private:
  AccessLine line(std::string_view event) const {
    const net::TlsIdentity* identity = call_.identity().get();
    return {.event = event,
            .remote = call_.peer().address,
            .through_gateway = door_ == Door::kGateway,
            .user = user_,
            .common_name = identity ? std::string_view(identity->common_name) : "",
            .method = call_.method().path,
            .request = request_};
  }

  AccessLog& log_;
  const net::ServerCall& call_;
  const Door door_;
  const RequestForm form_;
  const bool keys_;
  std::string user_;
  std::string request_;
  uint64_t received_ = 0, received_bytes_ = 0, sent_ = 0, sent_bytes_ = 0;
};

AccessLog::AccessLog(rpc::Context& context, const net::Router& router, net::LoopPool& loops,
                     const Clock& clock, AccessOutput& output, bool keys)
    : context_(&context), clock_(clock), output_(output), keys_(keys) {
  for (const net::MethodInfo* method : router.methods()) {
    CHECK(static_cast<size_t>(method->index) == forms_.size());
    forms_.push_back(request_form(method->path));
  }
  for (int i = 0; i < loops.size(); ++i) lanes_.push_back(std::make_unique<Lane>());
}

AccessLog::~AccessLog() = default;

std::unique_ptr<net::CallRecord> AccessLog::record(const net::ServerCall& call, Door door) {
  return std::make_unique<Record>(*this, call, door);
}

RequestForm AccessLog::form_of(const net::MethodInfo& method) const {
  return forms_[static_cast<size_t>(method.index)];
}

std::string AccessLog::user_of(const net::ServerCall& call) const {
  absl::StatusOr<auth::Identity> asks = context_->who(call);
  return asks.ok() ? std::string(asks->user) : std::string();
}

void AccessLog::add(net::Loop& loop, AccessLine line) {
  Lane& lane = *lanes_[static_cast<size_t>(loop.number())];
  if (!output_.has_room()) {
    ++lane.dropped;
  } else {
    line.time = time_text(lane);
    append_line(lane.text, line);
    ++lane.lines;
  }
  if (lane.text.size() >= kEnough) return hand_over(lane);
  if (lane.timer_set || !loop.on_loop()) return;
  lane.timer_set = true;
  loop.post_after(kGather, [this, &lane] {
    lane.timer_set = false;
    hand_over(lane);
  });
}

void AccessLog::hand_over(Lane& lane) {
  if (lane.lines == 0 && lane.dropped == 0) return;
  output_.write(std::exchange(lane.text, {}), std::exchange(lane.lines, 0),
                std::exchange(lane.dropped, 0));
}

void AccessLog::stop() {
  for (const std::unique_ptr<Lane>& lane : lanes_) hand_over(*lane);
}

// The date changes once a second, and costs more than the rest of a line.
std::string_view AccessLog::time_text(Lane& lane) {
  const Duration now = clock_.unix_time();
  if (const int64_t second = now.count() / kSecond; second != lane.second) {
    lane.second = second;
    lane.time = timestamp_text(now);
  }
  char micros[8];
  std::snprintf(micros, sizeof micros, "%06d", static_cast<int>(now.count() % kSecond / 1000));
  lane.time.replace(kMicrosAt, 6, micros);
  return lane.time;
}

}  // namespace keelson::server

#include "tests/trace/serial.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <iostream>
#include <set>

#include "base/text.h"
#include "proto/rpc.pb.h"
#include "tests/harness/schema.h"

namespace keelson::trace {
namespace {

using google::protobuf::util::MessageDifferencer;
using harness::Milliseconds;
using namespace etcdserverpb;

constexpr int64_t kLongTtl = 100000;  // seconds; nothing expired in the recording
constexpr int kShownDifferences = 10;
constexpr Milliseconds kPatience{20000};

template <typename T>
T parsed(const std::string& body) {
  T out;
  out.ParseFromString(body);
  return out;
}

// The revision that the recorded answer's header names, and whether this call made it.
struct Place {
  int64_t revision = 0;
  bool made_it = false;
};

template <typename Response>
Place place_of(const std::string& answer, bool made_it) {
  return {parsed<Response>(answer).header().revision(), made_it};
}

Place place_of(const Call& call) {
  const std::string& answer = call.answer();
  if (call.path.ends_with("/Txn")) {
    return place_of<TxnResponse>(answer, parsed<TxnResponse>(answer).succeeded());
  }
  if (call.path.ends_with("/Put")) return place_of<PutResponse>(answer, true);
  if (call.path.ends_with("/DeleteRange")) return place_of<DeleteRangeResponse>(answer, true);
  if (call.path.ends_with("/Compact")) return place_of<CompactionResponse>(answer, true);
  return place_of<RangeResponse>(answer, false);  // every answer's first field is the header
}

std::string adapted(const Call& call) {
  if (!call.path.ends_with("/LeaseGrant")) return call.request();
  auto request = parsed<LeaseGrantRequest>(call.request());
  request.set_id(parsed<LeaseGrantResponse>(call.answer()).id());
  request.set_ttl(kLongTtl);
  return request.SerializeAsString();
}

// Removes what another server of another run says differently.
void mask(google::protobuf::Message* message) {
  const auto* field = message->GetDescriptor()->FindFieldByName("header");
  if (field != nullptr && message->GetReflection()->HasField(*message, field)) {
    auto& header =
        dynamic_cast<ResponseHeader&>(*message->GetReflection()->MutableMessage(message, field));
    header.clear_cluster_id();
    header.clear_member_id();
    header.clear_raft_term();
  }
  if (auto* grant = dynamic_cast<LeaseGrantResponse*>(message)) grant->clear_ttl();
}

std::string difference(const harness::Method& method, const std::string& recorded,
                       const std::string& got) {
  auto wanted = harness::new_message(method.about->output_type());
  auto actual = harness::new_message(method.about->output_type());
  if (!wanted->ParseFromString(recorded)) return "the recorded answer does not parse\n";
  if (!actual->ParseFromString(got)) return "the answer does not parse\n";
  mask(wanted.get());
  mask(actual.get());
  std::string out;
  MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&out);
  return differencer.Compare(*wanted, *actual) ? "" : out;
}

class Replay {
 public:
  explicit Replay(harness::Client& client) : client_(client) {}

  void take(const Planned& planned) {
    ++result_.calls;
    const harness::Method method = harness::method_of_path(planned.call->path);
    const harness::Reply reply = client_.unary(planned.call->path, planned.request,
                                               {Milliseconds(30000), planned.call->metadata});
    if (reply.status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
      ++result_.unimplemented;
      return;
    }
    std::string found;
    if (reply.status.error_code() != planned.call->status ||
        reply.status.error_message() != planned.call->message) {
      found =
          cat("status ", planned.call->status, " ", planned.call->message, " -> ",
              static_cast<int>(reply.status.error_code()), " ", reply.status.error_message(), "\n");
    } else if (reply.status.ok()) {
      found = difference(method, planned.call->answer(), reply.body);
    }
    if (!found.empty()) report(*planned.call, found, &result_.differences);
  }

  // A recorded watch stream: its watches one at a time, each from its start or `from`, whichever is
  // later, to the last event it was told up to revision `to`.
  void watch(const Call& call, int64_t from, int64_t to) {
    std::map<int64_t, std::vector<mvccpb::Event>> recorded;
    std::vector<WatchCreateRequest> creates;
    std::vector<int64_t> ids;
    for (const Message& message : call.messages) {
      if (message.from_client) {
        const auto request = parsed<WatchRequest>(message.body);
        if (request.has_create_request()) creates.push_back(request.create_request());
        continue;
      }
      const auto response = parsed<WatchResponse>(message.body);
      if (response.created()) ids.push_back(response.watch_id());
      for (const mvccpb::Event& event : response.events()) {
        const int64_t at = event.kv().mod_revision();
        if (from <= at && at <= to) recorded[response.watch_id()].push_back(event);
      }
    }
    for (size_t i = 0; i < std::min(creates.size(), ids.size()); ++i) {
      if (creates[i].start_revision() == 0) continue;  // began at a moment, not at a revision
      creates[i].set_start_revision(std::max(creates[i].start_revision(), from));
      watch_one(call, creates[i], recorded[ids[i]]);
    }
  }

  const SerialResult& result() const { return result_; }

 private:
  void watch_one(const Call& call, WatchCreateRequest create,
                 const std::vector<mvccpb::Event>& recorded) {
    ++result_.watches;
    create.clear_watch_id();
    WatchRequest request;
    *request.mutable_create_request() = create;
    auto stream = client_.stream(call.path, {Milliseconds(60000), call.metadata});
    stream->send(request.SerializeAsString());
    size_t seen = 0;
    std::string found;
    while (seen < recorded.size() && found.empty()) {
      const auto body = stream->receive(kPatience);
      if (!body.has_value()) {
        found = cat("only ", seen, " of ", recorded.size(), " events came\n");
        break;
      }
      const auto response = parsed<WatchResponse>(*body);
      if (response.compact_revision() > create.start_revision()) {
        ++result_.compacted;
        return;
      }
      for (const mvccpb::Event& event : response.events()) {
        if (seen == recorded.size()) break;
        found += event_difference(recorded[seen++], event);
      }
    }
    result_.events += static_cast<int>(seen);
    if (!found.empty()) report(call, found, &result_.watch_differences);
  }

  // The previous value is gone when the recording's compaction has taken it since.
  std::string event_difference(mvccpb::Event recorded, mvccpb::Event event) {
    if (recorded.has_prev_kv() && !event.has_prev_kv() &&
        recorded.prev_kv().mod_revision() <= compacted_at_) {
      recorded.clear_prev_kv();
    }
    std::string out;
    MessageDifferencer differencer;
    differencer.ReportDifferencesToString(&out);
    return differencer.Compare(recorded, event) ? "" : cat(harness::to_text(event), "\n", out);
  }

  void report(const Call& call, const std::string& found, int* count) {
    if (++*count > kShownDifferences) return;
    std::cout << "stream " << call.stream << " " << call.path << "\n" << found << std::flush;
  }

 public:
  void set_compacted_at(int64_t revision) { compacted_at_ = revision; }

 private:
  harness::Client& client_;
  SerialResult result_;
  int64_t compacted_at_ = 0;
};

bool is_unary_of_store(const Call& call) {
  const harness::Method method = harness::method_of_path(call.path);
  return method.about != nullptr && !method.client_streams() && call.ended &&
         !call.path.ends_with("/Status");
}

}  // namespace

std::vector<Planned> plan(const Trace& trace) {
  struct Placed {
    Place place;
    Planned planned;
  };
  std::vector<Placed> placed;
  for (const Call& call : trace.calls) {
    if (is_unary_of_store(call)) placed.push_back({place_of(call), {&call, adapted(call)}});
  }
  std::stable_sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) {
    if (a.place.revision != b.place.revision) return a.place.revision < b.place.revision;
    return a.place.made_it && !b.place.made_it;
  });
  std::vector<Planned> out;
  for (Placed& each : placed) out.push_back(std::move(each.planned));
  return out;
}

SerialResult replay_serially(const Trace& trace, harness::Client& client) {
  Replay replay(client);
  const auto watch_all = [&](int64_t from, int64_t to) {
    for (const Call& call : trace.calls) {
      if (call.path.ends_with("/Watch")) replay.watch(call, from, to);
    }
  };
  int64_t from = 1;
  int64_t now = 1;
  for (const Planned& planned : plan(trace)) {
    // What a compaction is about to take away is watched before it.
    if (planned.call->path.ends_with("/Compact")) {
      watch_all(from, now);
      from = parsed<CompactionRequest>(planned.request).revision() + 1;
      replay.set_compacted_at(from - 1);
    }
    replay.take(planned);
    now = place_of(*planned.call).revision;
  }
  watch_all(from, now);
  return replay.result();
}

}  // namespace keelson::trace

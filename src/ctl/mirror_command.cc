// make-mirror: copies a prefix to another cluster, and then every change of it as it comes, the
// changes of one revision in one transaction (or several, where they are more than --max-txn-ops).

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <ostream>
#include <thread>

#include "base/errors.h"
#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/keys.h"

namespace keelson::ctl {
namespace {

constexpr int64_t kPage = 1000;                // keys read at a time
constexpr size_t kTransactionBytes = 1 << 20;  // of the first copy; servers take 1.5 MiB
constexpr std::chrono::seconds kReportEvery{30};
constexpr std::chrono::milliseconds kReopenPause{100};

// Prints every half minute how many keys were written.
class Counter {
 public:
  explicit Counter(std::ostream& out) : thread_([this, &out] { report(out); }) {}
  ~Counter() {
    {
      std::lock_guard lock(mutex_);
      done_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  void add(int64_t keys) { total_ += keys; }

 private:
  void report(std::ostream& out) {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, kReportEvery, [this] { return done_; })) {
      out << total_.load() << "\n" << std::flush;
    }
  }

  std::atomic<int64_t> total_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  std::thread thread_;  // last: it uses the others
};

class Mirror {
 public:
  struct What {
    std::string prefix, destination_prefix;
    uint64_t max_ops;  // 0: no bound
    int64_t from;      // the first revision to copy; 0: all there is, and then what comes
  };
  Mirror(Client& source, Client& destination, What what, std::ostream& out)
      : source_(source), destination_(destination), what_(std::move(what)), counter_(out) {}

  // Returns when something fails; there is no other end.
  absl::Status run() {
    if (what_.from == 0) {
      if (absl::Status status = copy_all(); !status.ok()) return status;
    }
    return follow();
  }

 private:
  std::string first_key() const {
    return what_.prefix.empty() ? std::string(1, '\0') : what_.prefix;
  }
  std::string end_key() const {
    return what_.prefix.empty() ? std::string(1, '\0') : prefix_end(what_.prefix);
  }
  std::string renamed(const std::string& key) const {
    return what_.destination_prefix + key.substr(what_.prefix.size());
  }

  // All keys as of one revision, by pages. Changes since then are follow()'s.
  absl::Status copy_all() {
    pb::RangeRequest request;
    request.set_key(first_key());
    request.set_range_end(end_key());
    request.set_limit(kPage);
    while (true) {
      auto page = source_.call(request, std::nullopt);
      if (!page.ok()) return page.status();
      if (request.revision() == 0) {
        request.set_revision(page->header().revision());
        what_.from = page->header().revision() + 1;
      }
      for (const mvccpb::KeyValue& kv : page->kvs()) {
        if (absl::Status status = put(kv); !status.ok()) return status;
      }
      if (!page->more() || page->kvs().empty()) return commit();
      request.set_key(page->kvs().rbegin()->key() + '\0');
    }
  }

  absl::Status follow() {
    while (true) {
      std::unique_ptr<WatchStream> stream = source_.watch();
      pb::WatchRequest request;
      auto* create = request.mutable_create_request();
      create->set_key(first_key());
      create->set_range_end(end_key());
      create->set_start_revision(what_.from);
      // A failed write shows as the end of the stream.
      (void)stream->write(request);
      pb::WatchResponse response;
      while (stream->read(&response)) {
        if (absl::Status status = apply(response); !status.ok()) {
          stream->cancel();
          return status;
        }
      }
      absl::Status why = stream->finish();
      if (!why.ok() && !absl::IsUnavailable(why) && !absl::IsInternal(why)) return why;
      std::this_thread::sleep_for(kReopenPause);
    }
  }

  absl::Status apply(const pb::WatchResponse& response) {
    if (response.compact_revision() != 0) return errors::Compacted();
    if (response.canceled()) return absl::AbortedError(response.cancel_reason());
    int64_t last = 0;
    for (const mvccpb::Event& event : response.events()) {
      if (last != 0 && event.kv().mod_revision() > last) {
        if (absl::Status status = commit(); !status.ok()) return status;
      }
      last = event.kv().mod_revision();
      absl::Status status =
          event.type() == mvccpb::Event::PUT ? put(event.kv()) : erase(event.kv());
      if (!status.ok()) return status;
    }
    if (absl::Status status = commit(); !status.ok()) return status;
    if (last != 0) what_.from = last + 1;
    return absl::OkStatus();
  }

  absl::Status put(const mvccpb::KeyValue& kv) {
    const size_t bytes = kv.key().size() + kv.value().size();
    if (absl::Status status = make_room(bytes); !status.ok()) return status;
    pb::PutRequest* request = transaction_.add_success()->mutable_request_put();
    request->set_key(renamed(kv.key()));
    request->set_value(kv.value());
    bytes_ += bytes;
    return absl::OkStatus();
  }
  absl::Status erase(const mvccpb::KeyValue& kv) {
    if (absl::Status status = make_room(kv.key().size()); !status.ok()) return status;
    transaction_.add_success()->mutable_request_delete_range()->set_key(renamed(kv.key()));
    bytes_ += kv.key().size();
    return absl::OkStatus();
  }

  absl::Status make_room(size_t bytes) {
    const auto ops = static_cast<uint64_t>(transaction_.success_size());
    const bool full = (what_.max_ops != 0 && ops >= what_.max_ops) ||
                      (ops > 0 && bytes_ + bytes > kTransactionBytes);
    return full ? commit() : absl::OkStatus();
  }

  absl::Status commit() {
    if (transaction_.success_size() == 0) return absl::OkStatus();
    auto done = destination_.call(transaction_, std::nullopt);
    if (!done.ok()) return done.status();
    counter_.add(transaction_.success_size());
    transaction_.Clear();
    bytes_ = 0;
    return absl::OkStatus();
  }

  Client& source_;
  Client& destination_;
  What what_;
  Counter counter_;
  pb::TxnRequest transaction_;  // what the destination gets next
  size_t bytes_ = 0;            // of keys and values in it
};

absl::StatusOr<Options> destination_options(Invocation& in, const Options& source) {
  const FlagSet& flags = in.flags;
  Options options = source;
  options.endpoints = {in.args()[0]};
  options.insecure_transport = flags.boolean("dest-insecure-transport");
  options.tls = {.cert = flags.text("dest-cert"),
                 .key = flags.text("dest-key"),
                 .cacert = flags.text("dest-cacert")};
  auto credentials = credentials_of(in.console, flags.text("dest-user"),
                                    flags.text("dest-password"), "Destination Password: ");
  if (!credentials.ok()) return credentials.status();
  options.credentials = *std::move(credentials);
  return options;
}

absl::Status run_mirror(Invocation& in) {
  if (in.args().size() != 1) {
    return failure(ExitCode::kBadArgs, "make-mirror takes one destination argument");
  }
  const FlagSet& flags = in.flags;
  if (flags.boolean("no-dest-prefix") && !flags.text("dest-prefix").empty()) {
    return failure(ExitCode::kBadArgs,
                   "`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose "
                   "one");
  }
  auto session = open_session(in);
  if (!session.ok()) return session.status();
  auto options = destination_options(in, session->options);
  if (!options.ok()) return options.status();
  auto destination = Client::connect(*options);
  if (!destination.ok()) return destination.status();
  Mirror::What what{.prefix = flags.text("prefix"),
                    .destination_prefix = flags.text("dest-prefix"),
                    .max_ops = flags.natural("max-txn-ops"),
                    .from = flags.integer("rev") > 1 ? flags.integer("rev") : 0};
  if (what.destination_prefix.empty() && !flags.boolean("no-dest-prefix")) {
    what.destination_prefix = what.prefix;
  }
  return Mirror(*session->client, **destination, std::move(what), in.console.out).run();
}

Flag text_flag(std::string name, std::string usage) {
  return {.name = std::move(name), .usage = std::move(usage)};
}

}  // namespace

Command mirror_command() {
  return {
      .use = "make-mirror [options] <destination>",
      .brief = "Makes a mirror at the destination etcd cluster",
      .group = std::string(kUtilityGroup),
      .flags = {text_flag("prefix", "Key-value prefix to mirror"),
                {.name = "rev",
                 .type = FlagType::kInt64,
                 .default_value = "0",
                 .usage = "Specify the kv revision to start to mirror"},
                {.name = "max-txn-ops",
                 .type = FlagType::kUint,
                 .default_value = "128",
                 .usage = "Maximum number of operations permitted in a transaction during syncing "
                          "updates."},
                text_flag("dest-prefix",
                          "destination prefix to mirror a prefix to a different prefix in the "
                          "destination cluster"),
                {.name = "no-dest-prefix",
                 .type = FlagType::kBool,
                 .default_value = "false",
                 .usage = "mirror key-values to the root of the destination cluster"},
                text_flag(
                    "dest-cert",
                    "Identify secure client using this TLS certificate file for the destination "
                    "cluster"),
                text_flag("dest-key", "Identify secure client using this TLS key file"),
                text_flag("dest-cacert",
                          "Verify certificates of TLS enabled secure servers using this CA bundle"),
                {.name = "dest-insecure-transport",
                 .type = FlagType::kBool,
                 .default_value = "true",
                 .usage = "Disable transport security for client connections"},
                text_flag(
                    "dest-user",
                    "Destination username[:password] for authentication (prompt if password is "
                    "not supplied)"),
                text_flag("dest-password",
                          "Destination password for authentication (if this option is used, --user "
                          "option shouldn't include password)")},
      .run = run_mirror};
}

}  // namespace keelson::ctl

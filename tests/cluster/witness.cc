#include "tests/cluster/witness.h"

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>

#include "base/random.h"
#include "base/text.h"

namespace keelson::cluster {
namespace {

namespace pb = etcdserverpb;
using std::chrono::steady_clock;

constexpr int kClientsEach = 2;
constexpr uint64_t kKeys = 6;
// Each client's: what is looked for are orders of events, not much of them, and others run tests on
// this machine as well.
constexpr Milliseconds kRest{2};
constexpr Milliseconds kPatience{2000};
const char* const kPrefix = "witness/";
const char* const kEnd = "witness0";

int64_t now() { return steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1); }

}  // namespace

Witness::Witness(std::vector<std::string> addresses, uint64_t seed)
    : addresses_(std::move(addresses)), seed_(seed) {
  for (const std::string& address : addresses_) {
    watchers_.push_back(std::make_unique<Watcher>());
    watchers_.back()->address = address;
    watching_threads_.emplace_back([this, watcher = watchers_.back().get()] { watch(*watcher); });
  }
  const int clients = kClientsEach * static_cast<int>(addresses_.size());
  for (int client = 0; client < clients; ++client) {
    clients_.emplace_back([this, client] { work(client); });
  }
}

Witness::~Witness() {
  stopping_ = true;
  watching_ = false;
  for (std::thread& thread : clients_) thread.join();
  for (std::thread& thread : watching_threads_) thread.join();
}

bool Witness::goes_on() const {
  const uint64_t before = acknowledged();
  return eventually([&] { return acknowledged() > before + 30; });
}

int64_t Witness::seen_by_all() const {
  int64_t lowest = INT64_MAX;
  for (const auto& watcher : watchers_) lowest = std::min(lowest, watcher->seen.load());
  return lowest;
}

void Witness::work(int client) {
  SeededRandom random(seed_ * 1000 + static_cast<uint64_t>(client));
  size_t place = static_cast<size_t>(client) % addresses_.size();
  auto connection = std::make_unique<harness::Client>(addresses_[place]);
  for (int number = 0; !stopping_; ++number) {
    Operation operation;
    operation.write = random.below(2) == 0;
    operation.key = cat(kPrefix, random.below(kKeys));
    if (operation.write) operation.value = cat(client, "/", number);
    if (operate(*connection, &operation)) {
      std::lock_guard lock(mutex_);
      seen_.done.push_back(std::move(operation));
      ++acknowledged_;
    } else {
      place = (place + 1) % addresses_.size();
      connection = std::make_unique<harness::Client>(addresses_[place]);
      std::lock_guard lock(mutex_);
      if (operation.write) seen_.doubtful.insert(operation.value);
    }
    std::this_thread::sleep_for(kRest);
  }
}

// False: there was no good answer.
bool Witness::operate(harness::Client& client, Operation* operation) {
  const harness::CallOptions options{kPatience, {}, true};
  operation->began = now();
  if (operation->write) {
    pb::PutRequest request;
    request.set_key(operation->key);
    request.set_value(operation->value);
    pb::PutResponse response;
    if (!client.unary("/etcdserverpb.KV/Put", request, &response, options).ok()) return false;
    operation->revision = response.header().revision();
  } else {
    pb::RangeRequest request;
    request.set_key(operation->key);
    pb::RangeResponse response;
    if (!client.unary("/etcdserverpb.KV/Range", request, &response, options).ok()) return false;
    operation->revision = response.header().revision();
    if (response.kvs_size() == 1) operation->value = response.kvs(0).value();
  }
  operation->ended = now();
  return true;
}

void Witness::watch(Watcher& watcher) {
  while (watching_) {
    std::string address;
    {
      std::lock_guard lock(mutex_);
      address = watcher.address;
    }
    harness::Client client(address);
    watch_once(watcher, client);
  }
}

void Witness::leave(size_t member, const std::string& address) {
  std::lock_guard lock(mutex_);
  watchers_[member]->address = address;
}

// Until the stream breaks, or has been silent for so long that it may have.
void Witness::watch_once(Watcher& watcher, harness::Client& client) {
  auto stream = client.stream("/etcdserverpb.Watch/Watch", {Milliseconds(60000), {}, false});
  pb::WatchRequest request;
  request.mutable_create_request()->set_key(kPrefix);
  request.mutable_create_request()->set_range_end(kEnd);
  request.mutable_create_request()->set_start_revision(watcher.seen + 1);
  if (!stream->send(request.SerializeAsString())) return;
  {
    std::lock_guard lock(mutex_);
    ++watcher.streams;
  }
  for (auto last = steady_clock::now();
       watching_ && !stream->ended() && steady_clock::now() - last < std::chrono::seconds(5);) {
    const auto message = stream->receive(Milliseconds(100));
    if (!message) continue;
    last = steady_clock::now();
    pb::WatchResponse response;
    if (!response.ParseFromString(*message) || response.compact_revision() != 0) {
      watcher.wrong = true;
    }
    if (response.canceled()) return;
    take(watcher, response);
  }
}

void Witness::take(Watcher& watcher, const pb::WatchResponse& response) {
  std::lock_guard lock(mutex_);
  for (const mvccpb::Event& event : response.events()) {
    watcher.events.push_back({event.kv().mod_revision(), event.kv().key(), event.kv().value()});
    if (event.kv().mod_revision() <= watcher.seen) watcher.wrong = true;
    watcher.seen = event.kv().mod_revision();
  }
}

void Witness::check(Cluster& cluster, int member, bool compacted) {
  stopping_ = true;
  for (std::thread& thread : clients_) thread.join();
  clients_.clear();
  cluster.check(cluster.put(member, cat(kPrefix, "end"), "end"), "a last put");
  pb::RangeRequest last;
  last.set_key(cat(kPrefix, "end"));
  pb::RangeResponse found;
  cluster.check(cluster.at(member).client().unary("/etcdserverpb.KV/Range", last, &found), "read");
  if (found.kvs_size() != 1) return;
  const int64_t through = found.kvs(0).mod_revision();
  for (const auto& watcher : watchers_) {
    cluster.check(eventually([&] { return watcher->seen >= through; }),
                  cat("the watcher at ", watcher->address, " gets all of it"));
  }
  watching_ = false;
  for (std::thread& thread : watching_threads_) thread.join();
  watching_threads_.clear();
  const std::vector<Event> events =
      compacted ? watchers_.front()->events : history(cluster, member, through);
  for (const auto& watcher : watchers_) {
    cluster.check(!watcher->wrong && watcher->events == events,
                  cat("the watcher at ", watcher->address, " saw the history, once, in order: ",
                      watcher->events.size(), " events, not ", events.size()));
  }
  seen_.history = events;
  seen_.doubtful.insert("end");
  for (const std::string& wrong : wrongs_of(seen_)) cluster.check(false, wrong);
  std::cout << "witness: " << seen_.done.size() << " operations, " << seen_.doubtful.size()
            << " writes without an answer, " << events.size() << " events, streams:";
  for (const auto& watcher : watchers_) std::cout << " " << watcher->streams;
  std::cout << std::endl;
}

// Everything from the beginning, as a watcher is told who comes late.
std::vector<Event> Witness::history(Cluster& cluster, int member, int64_t through) {
  Watcher late;
  auto stream = cluster.at(member).client().stream("/etcdserverpb.Watch/Watch");
  pb::WatchRequest request;
  request.mutable_create_request()->set_key(kPrefix);
  request.mutable_create_request()->set_range_end(kEnd);
  request.mutable_create_request()->set_start_revision(1);
  stream->send(request.SerializeAsString());
  const bool all = eventually([&] {
    while (auto message = stream->receive(Milliseconds(100))) {
      pb::WatchResponse response;
      if (response.ParseFromString(*message)) take(late, response);
    }
    return late.seen >= through || stream->ended();
  });
  cluster.check(all && late.seen == through, "the history is there");
  return late.events;
}

}  // namespace keelson::cluster

#include "tests/cluster/load.h"

#include <algorithm>

#include "base/text.h"

namespace keelson::cluster {

namespace pb = etcdserverpb;
using std::chrono::steady_clock;

Load::Load(std::string name, std::vector<std::string> addresses, int clients_each)
    : name_(std::move(name)), last_(steady_clock::now()) {
  const int clients = clients_each * static_cast<int>(addresses.size());
  for (int client = 0; client < clients; ++client) {
    threads_.emplace_back([this, client, addresses] { run(client, addresses); });
  }
}

void Load::stop() {
  stopping_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Load::run(int client, const std::vector<std::string>& addresses) {
  size_t place = static_cast<size_t>(client) % addresses.size();
  auto connection = std::make_unique<harness::Client>(addresses[place]);
  for (int64_t number = 0; !stopping_; ++number) {
    pb::PutRequest request;
    request.set_key(cat(name_, "/", client, "/", number));
    request.set_value(request.key());
    pb::PutResponse response;
    const grpc::Status status = connection->unary("/etcdserverpb.KV/Put", request, &response,
                                                  {Milliseconds(3000), {}, true});
    if (status.ok()) {
      note(request.key());
    } else {
      ++failed_;
      place = (place + 1) % addresses.size();
      connection = std::make_unique<harness::Client>(addresses[place]);
      std::lock_guard lock(mutex_);
      doubtful_.insert(request.key());
    }
  }
}

void Load::note(const std::string& key) {
  ++acknowledged_;
  std::lock_guard lock(mutex_);
  keys_.insert(key);
  const auto now = steady_clock::now();
  gap_ = std::max(gap_, now - last_);
  last_ = now;
}

Milliseconds Load::longest_gap() const {
  std::lock_guard lock(mutex_);
  return std::chrono::duration_cast<Milliseconds>(gap_);
}

void Load::check(Cluster& cluster, int member) const {
  pb::RangeRequest request;
  request.set_key(name_ + "/");
  request.set_range_end(name_ + "0");
  pb::RangeResponse response;
  cluster.check(cluster.at(member).client().unary("/etcdserverpb.KV/Range", request, &response),
                "read it all");
  std::set<std::string> found;
  for (const mvccpb::KeyValue& kv : response.kvs()) {
    found.insert(kv.key());
    const bool asked = keys_.contains(kv.key()) || doubtful_.contains(kv.key());
    cluster.check(asked && kv.value() == kv.key() && kv.version() == 1,
                  cat("nobody wrote ", kv.key(), " like this"));
  }
  for (const std::string& key : keys_) {
    cluster.check(found.contains(key), cat("acknowledged and gone: ", key));
  }
}

}  // namespace keelson::cluster

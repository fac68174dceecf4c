#include "tests/crash/load.h"

#include <thread>

#include "base/text.h"
#include "tests/harness/client.h"
#include "tests/harness/schema.h"

namespace keelson::crash {
namespace {

using namespace etcdserverpb;
using Kind = Write::Kind;

constexpr int64_t kLeaseTtl = 100000;  // seconds: none expires
constexpr uint64_t kKeysPerClient = 6;

std::string some_key(Loader* loader) {
  return cat("c", loader->client, "/", loader->random.below(kKeysPerClient));
}

// A value says who wrote it and which of his writes it is.
void add_put(Loader* loader, const std::string& key, RequestOp* op) {
  PutRequest* put = op->mutable_request_put();
  put->set_key(key);
  put->set_value(cat("c", loader->client, "#", loader->next_value++,
                     std::string(loader->random.below(300), 'x')));
  if (loader->lease != 0 && loader->random.below(4) == 0) put->set_lease(loader->lease);
}

Write draw_txn(Loader* loader) {
  Write write;
  const std::string base = cat("c", loader->client, "/");
  Compare* compare = write.txn.add_compare();
  compare->set_key(some_key(loader));
  compare->set_target(Compare::VERSION);
  compare->set_result(Compare::GREATER);
  compare->set_version(static_cast<int64_t>(loader->random.below(3)));
  add_put(loader, base + "0", write.txn.add_success());
  add_put(loader, base + "1", write.txn.add_success());
  write.txn.add_success()->mutable_request_delete_range()->set_key(base + "2");
  add_put(loader, base + "2", write.txn.add_failure());
  write.txn.add_failure()->mutable_request_delete_range()->set_key(base + "3");
  return write;
}

Write draw_lease(Loader* loader) {
  Write write;
  write.kind = loader->lease == 0 ? Kind::kGrant : Kind::kRevoke;
  write.number =
      loader->lease == 0 ? loader->client * 1000000 + ++loader->next_lease : loader->lease;
  loader->lease = loader->lease == 0 ? write.number : 0;
  return write;
}

template <typename Request, typename Response>
grpc::Status ask(harness::Client& client, const char* path, const Request& request, Write* write) {
  Response response;
  const grpc::Status status = client.unary(path, request, &response);
  write->revision = response.header().revision();
  if constexpr (std::is_same_v<Response, DeleteRangeResponse>) {
    write->changes = response.deleted() > 0;
  } else {
    write->changes = write->kind == Kind::kTxn;  // each of our puts and transactions puts something
  }
  return status;
}

grpc::Status send_txn(harness::Client& client, Write* write) {
  const TxnRequest& txn = write->txn;
  const bool single = txn.compare().empty() && txn.success_size() == 1;
  if (single && txn.success(0).has_request_put()) {
    return ask<PutRequest, PutResponse>(client, "/etcdserverpb.KV/Put",
                                        txn.success(0).request_put(), write);
  }
  if (single) {
    return ask<DeleteRangeRequest, DeleteRangeResponse>(
        client, "/etcdserverpb.KV/DeleteRange", txn.success(0).request_delete_range(), write);
  }
  return ask<TxnRequest, TxnResponse>(client, "/etcdserverpb.KV/Txn", txn, write);
}

grpc::Status send(harness::Client& client, Write* write) {
  if (write->kind == Kind::kTxn) return send_txn(client, write);
  if (write->kind == Kind::kGrant) {
    LeaseGrantRequest request;
    request.set_id(write->number);
    request.set_ttl(kLeaseTtl);
    return ask<LeaseGrantRequest, LeaseGrantResponse>(client, "/etcdserverpb.Lease/LeaseGrant",
                                                      request, write);
  }
  if (write->kind == Kind::kRevoke) {
    LeaseRevokeRequest request;
    request.set_id(write->number);
    return ask<LeaseRevokeRequest, LeaseRevokeResponse>(client, "/etcdserverpb.Lease/LeaseRevoke",
                                                        request, write);
  }
  CompactionRequest request;
  request.set_revision(write->number);
  return ask<CompactionRequest, CompactionResponse>(client, "/etcdserverpb.KV/Compact", request,
                                                    write);
}

}  // namespace

std::string Write::text() const {
  const char* kinds[] = {"txn", "grant", "revoke", "compact"};
  return cat(kinds[static_cast<int>(kind)], " ", number, " ", harness::to_text(txn).substr(0, 300),
             acknowledged ? cat(" acknowledged at ", revision) : " in doubt");
}

Write draw(Loader* loader, int64_t compactable) {
  Write write;
  const uint64_t kind = loader->random.below(100);
  if (kind < 60) {
    add_put(loader, some_key(loader), write.txn.add_success());
  } else if (kind < 75) {
    write.txn.add_success()->mutable_request_delete_range()->set_key(some_key(loader));
  } else if (kind < 92) {
    write = draw_txn(loader);
  } else if (kind < 97 || loader->client != 0 || compactable < 2) {
    write = draw_lease(loader);
  } else {
    write.kind = Kind::kCompact;
    write.number = compactable - static_cast<int64_t>(loader->random.below(20));
    if (write.number < 1) write.number = 1;
  }
  return write;
}

std::vector<std::vector<Write>> run_load(const std::string& address, std::vector<Loader>* loaders,
                                         int64_t compactable, const std::function<void()>& crash) {
  std::vector<std::vector<Write>> out(loaders->size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < loaders->size(); ++i) {
    threads.emplace_back([&, i] {
      harness::Client client(address);
      while (true) {
        Write write = draw(&(*loaders)[i], compactable);
        const grpc::Status status = send(client, &write);
        write.acknowledged = status.ok();
        write.failed = status.error_code() == grpc::StatusCode::OUT_OF_RANGE;  // compacted already
        out[i].push_back(std::move(write));
        if (!status.ok() && !out[i].back().failed) return;
      }
    });
  }
  crash();
  for (std::thread& thread : threads) thread.join();
  return out;
}

}  // namespace keelson::crash

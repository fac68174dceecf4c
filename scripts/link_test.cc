// Nothing: what is proven is that the library linked in its entirety needs nothing it did not name.

int main() { return 0; }

int main() {}  // the headers are what this is for

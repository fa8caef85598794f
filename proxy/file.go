package proxy

import "github.com/otelmon/toolkit/internal/yamlfile"

// ReadFile reads a configuration from a YAML file of at most 1 MiB, as [Parse]
// does. Its errors tell the file, the line and the field, a line for each.
func ReadFile(path string) (Config, error) {
	var cfg Config
	document, err := yamlfile.Read(path, &cfg)
	return cfg.checked(document, err)
}

// Parse reads a configuration from YAML. A field that is not known is an
// error, and so is a value that [New] would refuse. The files that it names are
// not looked at. Secrets in URLs are masked in errors, which tell the line and
// the field.
func Parse(data []byte) (Config, error) {
	var cfg Config
	document, err := yamlfile.Parse(data, &cfg)
	return cfg.checked(document, err)
}

// checked returns the configuration if it could be read and is right.
func (c Config) checked(document *yamlfile.Document, err error) (Config, error) {
	if err == nil {
		err = document.Error(c.problems())
	}
	if err != nil {
		return Config{}, err
	}
	c.document = document
	return c, nil
}

// Line returns the line of a field such as "upstreams[0].url", or of what is
// nearest around it, in what [ReadFile] or [Parse] read; 0 if they did not.
func (c Config) Line(field string) int { return c.document.Line(field) }
